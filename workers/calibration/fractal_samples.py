"""Samples without data: fractal images for inputs that take images, synthetic values for the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fractal_data import fractal_image
from fractal_data.images import LARGEST, SMALLEST
from workers.calibration.datasets import Progress, prepared, silent, takes_batches
from workers.calibration.preprocessing import ImageInput, image_input, unused
from workers.calibration.samples import Numbers, Rows, Samples, held
from workers.calibration.synthetic import synthetic, with_states
from workers.ir.reading.importer import Imported
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
        rows = held(_fractals(image, seed, position, len(model.inputs)), np.arange(count), image.picture, progress)
        feeds[entry.name], pixels, notes = prepared(rows, image), pixels or rows, notes + said
        applied[entry.name] = image.record()
    if declared.resize is not None or declared.crop is not None:
        notes += ("Fractals are drawn in the size of the model's input: resize and crop were not used.",)
    samples = Samples(
        source="fractals" if pixels else "synthetic",
        feeds=feeds,
        numbers=np.arange(count),
        endless=True,
        stacked=takes_batches(model),
        pixels=pixels,
        notes=notes + unused(declared, pixels is not None),
        applied=applied,
    )
    return with_states(samples, model)


def _fractals(image: ImageInput, seed: int, position: int, inputs: int) -> Rows:
    """Fractals of the input's size; inputs take turns, so that each sees its own."""

    def rows(numbers: Numbers) -> NDArray[np.uint8]:
        return np.stack([_drawn(image, int(number) * inputs + position, seed) for number in numbers])

    return rows


def _drawn(image: ImageInput, index: int, seed: int) -> NDArray[np.uint8]:
    """A fractal (height, width, channels); sides beyond what fractals are drawn in are reached by scaling."""
    sides = (image.height, image.width)
    factor = max(1.0, max(sides) / LARGEST)
    drawn = tuple(min(max(round(side / factor), SMALLEST), LARGEST) for side in sides)
    pixels = fractal_image(index, (drawn[0], drawn[1]), seed, image.channels)
    if drawn == sides:
        return pixels
    planes = [Image.fromarray(plane).resize(sides[::-1], Image.Resampling.BILINEAR) for plane in np.moveaxis(pixels, 2, 0)]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)
