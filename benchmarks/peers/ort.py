"""ONNX Runtime's static 8-bit quantisation, per channel, activations by their range; runs in Fractune's own environment.

python ort.py --model model.onnx --data samples.npz --samples 300 --out folder
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):
    """Arrays, one sample at a time."""

    def __init__(self, name, values):
        self.rest = iter([{name: value[None]} for value in values])

    def get_next(self):
        return next(self.rest, None)


def main():
    """Prepare, quantise, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    prepared, result = options.out / "prepared.onnx", options.out / "m.onnx"
    quant_pre_process(str(options.model), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    known = {entry.name for entry in graph.initializer}
    name = next(entry.name for entry in graph.input if entry.name not in known)
    quantize_static(
        str(prepared),
        str(result),
        Reader(name, np.load(options.data)["x"][: options.samples]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


if __name__ == "__main__":
    main()
