"""Values for inputs that are not images: of the right type and range, and of no meaning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.calibration.samples import Numbers, Rows
from workers.ir.reading.inputs import Input
from workers.randomness import Stream, generator


def synthetic(entry: Input, seed: int, position: int) -> tuple[Rows, str]:
    """Rows for an input, each drawn from its own generator (seed, position of the input, sample), and what they are."""
    shape = entry.item
    low, high = _range(entry)

    def draw(number: int) -> NDArray[Any]:
        rng = generator(seed, Stream.SYNTHETIC_INPUTS, position, number)
        values = rng.standard_normal(shape) if entry.dtype.kind == "f" else rng.integers(low, high, shape, endpoint=True)
        return np.asarray(values, entry.dtype)

    def rows(numbers: Numbers) -> NDArray[Any]:
        return np.stack([draw(int(number)) for number in numbers])

    return rows, "standard normal values" if entry.dtype.kind == "f" else f"random integers from {low} to {high}"


def _range(entry: Input) -> tuple[int, int]:
    """The least and the greatest value of an integer input."""
    if entry.dtype.kind not in "iu":
        return 0, 1
    limits = np.iinfo(entry.dtype)
    if entry.vocabulary is not None:
        return 0, min(entry.vocabulary - 1, int(limits.max))
    if entry.dtype.itemsize == 1:
        return int(limits.min), int(limits.max)
    return 1, 1  # lengths, flags and masks: the value that hides nothing
