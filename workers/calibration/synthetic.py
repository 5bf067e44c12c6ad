"""Values for inputs that are not images: of the right type and range, and of no meaning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.calibration.samples import Numbers, Rows
from workers.ir.reading.inputs import Input
from workers.randomness import Stream, generator


def synthetic(entry: Input, seed: int, position: int) -> tuple[Rows, str]:
    """Rows for an input, each drawn from its own generator (seed, position of the input, sample), and what they are."""
    low, high = entry.bounds

    def rows(numbers: Numbers) -> NDArray[Any]:
        drawn = [entry.draw(generator(seed, Stream.SYNTHETIC_INPUTS, position, int(number))) for number in numbers]
        return np.stack(drawn).reshape(len(numbers), *entry.item)

    return rows, "standard normal values" if entry.dtype.kind == "f" else f"random integers from {low} to {high}"
