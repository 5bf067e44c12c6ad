"""Which calibration samples take part in which phase.

Early layers have large tensors and need few samples, for each gives them thousands of rows; late layers have small tensors
and need them all. So the calibration set begins with as many samples as memory holds, and the others join where the frontier
has become small, having passed all layers before in one go. Memory stays bounded whatever the depth of the model and the
number of samples, and every sample still costs one forward pass.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.ir.graph.frontier import Batch

FRONTIER_BYTES = 2**28  # that the tensors between two phases may take, of both models together
FEWEST_BATCHES = 8  # that take part all the same
WORTH = 1.4  # times as many batches: what compiling all phases before in both models is worth
TOGETHER = 6  # phases that run as one at the most, where nothing is solved between them


class SampleSource(Protocol):
    """Calibration samples as the engine reads them."""

    @property
    def count(self) -> int:
        """Number of samples."""

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Model inputs by name, for the samples from `start` to `stop`."""


def schedule(held: Sequence[int], total: int) -> list[int]:
    """How many of `total` batches take part in each phase from 1 on, where the frontier of a batch takes `held` bytes after it.

    As many as fit in FRONTIER_BYTES, both here and in what lies between here and the last phase that has room for most: where
    samples join they run through all phases before as one, and those that left only to join again would do that twice. Fewer
    than WORTH times as many do not join, unless these are all.
    """
    rooms = [
        FRONTIER_BYTES // max(2 * max(sizes), 1) for sizes in pairwise(held)
    ]  # of the original and of the compressed model
    rooms = [min(max(room, FEWEST_BATCHES), total) for room in rooms]
    peak = max((number for number, room in enumerate(rooms) if room == max(rooms)), default=0)
    rising = list(accumulate(reversed(rooms[:peak]), min))[::-1]
    batches, active = [], 0
    for room in (*rising, *accumulate(rooms[peak:], min)):
        if room < active or room >= min(WORTH * active, total):
            active = room
        batches.append(active)
    return batches


def stride(sizes: Sequence[int], room: int, together: int, batches: Sequence[int] = ()) -> list[int]:
    """The stride, from 1, in which a model runs each phase, from 0, which is before all of them.

    Phases of one stride follow one another, `together` at the most. What is kept of them, `sizes` of phases 1 and on, takes
    up to `room` bytes, and where `batches` are given as many of these take part in each.
    """
    strides, taken, held = [0], 0, 0
    for number, size in enumerate(sizes):
        alike = not batches or batches[number] == batches[number - 1]
        fits = number and taken < together and held + size <= room and alike
        strides.append(strides[-1] if fits else strides[-1] + 1)
        taken, held = (taken + 1, held + size) if fits else (1, size)
    return strides


class BatchStream:
    """Calibration samples as batches of model inputs, the last one filled up by repetition."""

    def __init__(self, samples: SampleSource, size: int) -> None:
        self.source = samples
        self._size = size
        self.length = -(-samples.count // size)

    def share(self, number: int) -> float:
        """How much of a batch is samples and not repetition."""
        return min(self.source.count - number * self._size, self._size) / self._size

    def samples(self, batches: int) -> int:
        """How many samples the first `batches` batches hold."""
        return min(batches * self._size, self.source.count)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches from `start` to `stop`."""
        for first in range(start * self._size, stop * self._size, self._size):
            values = self.source.batch(first, min(first + self._size, self.source.count))
            yield {(name, 0): self._filled(value) for name, value in values.items()}

    def _filled(self, value: NDArray[Any]) -> NDArray[Any]:
        """A model of one sample at a time need not have an axis of samples."""
        return value if self._size == 1 or len(value) == self._size else np.resize(value, (self._size, *value.shape[1:]))
