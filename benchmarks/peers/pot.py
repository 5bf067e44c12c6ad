"""OpenVINO POT 2023.3, the released code of layer-wise calibration pruning; runs in an environment of its own.

    python pot.py --model model.onnx --data samples.npz --level 0.65 --samples 300 --out folder

`samples.npz` holds `x`, float32 (n, ...), as the model takes it. Writes m.xml and m.bin to the folder. Three things must be
mended before this version tunes anything with the packages of today; each is said where it is done.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from openvino.tools.pot import DataLoader, IEEngine, create_pipeline, load_model, save_model
from openvino.tools.pot.algorithms.finetuning import algorithm as finetuning
from openvino.tools.pot.engines.ie_engine import IEEngine as Engine
from openvino.tools.pot.samplers.batch_sampler import BatchSampler
from openvino.tools.pot.utils.launcher import IELauncher


class Samples(DataLoader):
    """Arrays, one sample at a time."""

    def __init__(self, values):
        super().__init__({})
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index], 0


def mend(threads):
    """Make the tuner run as it was meant to."""
    chosen = finetuning.LayerwiseModelFinetuning._random_samples

    def sampler(self):  # with the public engine the tuner hands over a bare list of numbers
        found = chosen(self)
        return BatchSampler(self._engine.data_loader, subset_indices=found) if isinstance(found, list) else found

    finetuning.LayerwiseModelFinetuning._random_samples = sampler
    zero = torch.optim.Optimizer.zero_grad  # torch 2 drops gradients instead of zeroing them, which skips Adam's momentum
    torch.optim.Optimizer.zero_grad = lambda self, set_to_none=False: zero(self, set_to_none=set_to_none)
    for kind in (Engine, IELauncher):  # OpenVINO runs the reference in bf16 where the processor has it

        def made(self, *args, begin=kind.__init__, **known):
            begin(self, *args, **known)
            self._ie.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads})

        kind.__init__ = made


def main():
    """Convert, prune, tune, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--level", type=float, required=True)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    mend(threads=1)
    converted = options.out / "original.xml"
    ovc = Path(sys.executable).with_name("ovc")
    subprocess.run([ovc, options.model, "--output_model", converted, "--compress_to_fp16=False"], check=True)
    files = {"model_name": "m", "model": str(converted), "weights": str(converted.with_suffix(".bin"))}
    model = load_model(files, target_device="CPU")
    settings = {"device": "CPU", "stat_requests_number": 1, "eval_requests_number": 1}
    engine = IEEngine(settings, data_loader=Samples(np.load(options.data)["x"][: options.samples]))
    params = {"sparsity_level": options.level, "stat_subset_size": options.samples, "target_device": "CPU"}
    step = {"name": "WeightSparsity", "params": {**params, "use_layerwise_tuning": True}}
    save_model(create_pipeline([step], engine).run(model), str(options.out), "m")


if __name__ == "__main__":
    main()
