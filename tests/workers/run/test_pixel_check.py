"""Whether a network seems to want pixels as they are."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from workers.ir.reading.importer import load
from workers.recipe import Preprocessing
from workers.recipe.assumptions import foreseen, pixel_hint
from workers.recipe.recipe import parse_recipe
from workers.run.reporting.pixel_check import wants_raw_pixels

TAKES_BYTES, TAKES_SCALED = 0.004, 1.0  # gains that make the usual pixels neither nothing nor all the same


def network(folder: Path, gain: float, side: int = 16) -> Path:
    """Means of the colours, squashed, on top of a constant that is the same for all pictures."""
    image = ops.parameter([1, 3, side, side], np.float32, name="image")
    squashed = ops.tanh(ops.multiply(ops.reduce_mean(image, np.array([2, 3])), np.float32(gain)))
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    scores = ops.matmul(squashed, ops.constant(weights), False, False)
    path = folder / "network.xml"
    ov.save_model(ov.Model([ops.add(scores, np.full((1, 5), 0.5, np.float32))], [image]), path)
    return path


@pytest.mark.parametrize(("gain", "told"), [(TAKES_BYTES, True), (TAKES_SCALED, False)])
def test_what_takes_bytes_is_told_from_what_takes_scaled_pixels(tmp_path: Path, gain: float, told: bool) -> None:
    imported = load(network(tmp_path, gain))
    found = wants_raw_pixels(imported, Preprocessing())
    assert (found is not None and found > 2) == told
    assert wants_raw_pixels(imported, Preprocessing(scale_values=(255.0,))) is None  # nothing is assumed


def test_large_pictures_are_not_tried(tmp_path: Path) -> None:
    assert wants_raw_pixels(load(network(tmp_path, TAKES_BYTES, side=520)), Preprocessing()) is None


def test_the_doubt_is_part_of_the_sentence() -> None:
    entry = {"name": "image", "shape": [1, 3, 16, 16], "dtype": "float32", "layout": "NCHW", "batch_axis": 0}
    inputs, recipe = [entry | {"source_shape": [1, 3, 16, 16]}], parse_recipe({"steps": [{"method": "int8"}]})
    doubt = foreseen(inputs, recipe, 4.3)
    assert doubt is not None
    assert "which seems wrong" in doubt
    assert "4.3 times" in doubt
    assert "seems wrong" not in str(foreseen(inputs, recipe))
    assert "4.3 times" in pixel_hint(4.3)
    declared = parse_recipe({"steps": [{"method": "int8"}], "preprocessing": {"scale_values": [1]}})
    assert foreseen(inputs, declared, 4.3) is None
