"""NNCF's post-training quantisation as its users call it, with its defaults; runs in Fractune's own environment.

python nncf_ptq.py --model model.onnx --data samples.npz --samples 300 --out folder
"""

import argparse
from pathlib import Path

import nncf
import numpy as np
import openvino as ov


def main():
    """Read, quantise, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    values = np.load(options.data)["x"][: options.samples]
    dataset = nncf.Dataset(values, lambda value: value[None])
    model = nncf.quantize(ov.Core().read_model(options.model), dataset, subset_size=options.samples)
    ov.save_model(model, options.out / "m.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
