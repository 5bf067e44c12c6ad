"""Samples without data: fractal images for inputs that take images, synthetic values for the others."""

from typing import Any

import numpy as np

from fractal_data import fractal_image
from workers.calibration.datasets import Progress, prepared, silent, stacked
from workers.calibration.preprocessing import ImageInput, image_input, unused
from workers.calibration.samples import Numbers, Rows, Samples, held
from workers.calibration.synthetic import synthetic
from workers.ir.importer import Imported
from workers.recipe import Preprocessing


def from_fractals(model: Imported, count: int, seed: int, declared: Preprocessing, progress: Progress = silent) -> Samples:
    """`count` samples that depend on nothing but the seed and the inputs' shapes: the first n are the same for any count.

    Raises InvalidRecipe or DataMismatch for preprocessing that does not fit the model.
    """
    feeds: dict[str, Rows] = {}
    applied: dict[str, Any] = {}
    pixels: Rows | None = None
    notes: tuple[str, ...] = ()
    for position, entry in enumerate(model.inputs):
        found = image_input(entry, declared)
        if found is None:
            feeds[entry.name], what = synthetic(entry, seed, position)
            applied[entry.name] = {"synthetic": what}
            notes += (f"Input {entry.name!r} does not take images: it was fed with {what}, which mean nothing to the model.",)
            continue
        image, said = found
        rows = held(_fractals(image, seed, position, len(model.inputs)), count, image.picture, progress)
        feeds[entry.name], pixels, notes = prepared(rows, image), pixels or rows, notes + said
        applied[entry.name] = image.record()
    if declared.resize is not None or declared.crop is not None:
        notes += ("Fractals are drawn in the size of the model's input: resize and crop were not used.",)
    return Samples(
        source="fractals" if pixels else "synthetic",
        feeds=feeds,
        numbers=np.arange(count),
        stacked=stacked(model),
        pixels=pixels,
        notes=notes + unused(declared, pixels is not None),
        applied=applied,
    )


def _fractals(image: ImageInput, seed: int, position: int, inputs: int) -> Rows:
    """Fractals of the input's size; inputs take turns, so that each sees its own."""

    def rows(numbers: Numbers) -> np.ndarray:
        size = (image.height, image.width)
        return np.stack([fractal_image(int(number) * inputs + position, size, seed, image.channels) for number in numbers])

    return rows
