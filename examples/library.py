"""Fractune in a program that has a model and images: `python examples/library.py`, beside `nncf.quantize`."""

import json
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

import fractune

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Compress the carried network both ways, and print what Fractune reports."""
    model = ov.Core().read_model(HERE / "digits.onnx")
    recipe = json.loads((HERE / "recipe.json").read_text())
    digits = np.load(HERE / "digits.npz")

    # NNCF: inputs as the model takes them
    pixels = digits["x"].transpose(0, 3, 1, 2).repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)
    images = (pixels - 80) / 96
    quantized = nncf.quantize(model, nncf.Dataset([image[None] for image in images[:300]]))

    # Fractune: images as they are, the recipe's preprocessing fits them to the model; without data, fractals
    recipe["steps"].append({"method": "int8"})
    result = fractune.optimize(model, recipe, eval={"x": digits["x"], "y": digits["y"]})

    ov.save_model(quantized, "quantized.xml")
    ov.save_model(result.model, "pruned-and-quantized.xml", compress_to_fp16=False)
    print(f"{100 * result.report['sparsity']:.0f} % of the weights are zero")  # noqa: T201
    print(f"accuracy {result.report['fidelity']['accuracy_compressed']}")  # noqa: T201


if __name__ == "__main__":
    main()
