"""Samples for a model, read by range as often as wanted; what does not fit in memory is made again when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.annotations import TargetKind, Targets

Numbers = NDArray[np.int64]
Rows = Callable[[Numbers], NDArray[Any]]  # numbers of samples (n,) -> their values (n, ...)
Origin = Literal["fractals", "dataset", "synthetic"]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a model is fed with, in a fixed order."""

    source: Origin
    feeds: Mapping[str, Rows]  # by input name
    numbers: Numbers  # (count,) which samples of the source these are
    endless: bool = False  # any number gives a sample, also beyond these
    stacked: bool = True  # the model takes batches; if not, it takes one sample at a time
    labels: NDArray[np.int64] | None = None  # (count,) class indices
    targets: Targets | None = None  # labels of another kind, by the numbers of samples
    class_names: tuple[str, ...] = ()  # by class index
    class_ids: tuple[int, ...] = ()  # by class index, what a format calls them, where that is something else
    pixels: Rows | None = None  # uint8 (n, height, width, channels), before preprocessing
    origins: Rows | None = None  # the same, of the fractals that the images were made from
    other_feeds: Mapping[str, Mapping[str, Rows]] = field(default_factory=dict)  # with other preprocessing, by what it is
    digest: Callable[[int], bytes] | None = None  # number of a sample -> what only an equal one has
    title: Callable[[int], str] = "sample {}".format  # number of a sample -> what it is called
    notes: tuple[str, ...] = ()  # for the report
    applied: Mapping[str, Any] = field(default_factory=dict)  # how each input is prepared, for the report

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.numbers)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Model inputs by name, of the samples from `start` to `stop`, in the model's types and layouts.

        The leading axis is the samples', (n, ...); for a model that takes no batches, n must be 1 and the array is the input.
        """
        numbers = self.numbers[start:stop]
        if not self.stacked and len(numbers) != 1:
            raise ValueError(f"the model takes one sample at a time, not {len(numbers)}")
        values = {name: rows(numbers) for name, rows in self.feeds.items()}
        return values if self.stacked else {name: np.asarray(value[0]) for name, value in values.items()}

    def images(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        """uint8 (n, height, width, channels) as the first image input sees them before preprocessing; None for non-images."""
        return None if self.pixels is None else self.pixels(self.numbers[start:stop])

    @property
    def target_kind(self) -> TargetKind | None:
        """What the samples are labelled with."""
        if self.labels is not None:
            return TargetKind.CLASS
        return self.targets.kind if self.targets else None

    def targets_of(self, start: int, stop: int) -> list[Any] | None:
        """The labels of the samples from `start` to `stop`, in the frame of the model's input."""
        if self.labels is not None:
            return list(self.labels[start:stop])
        return None if self.targets is None else [self.targets.read(int(number)) for number in self.numbers[start:stop]]

    def take(self, chosen: Sequence[int] | Numbers) -> "Samples":
        """The samples at these positions, in this order."""
        index = np.asarray(chosen, np.int64)
        return replace(self, numbers=self.numbers[index], labels=None if self.labels is None else self.labels[index])


def split(samples: Samples, fractions: Sequence[float], rng: np.random.Generator) -> tuple[Samples, ...]:
    """Disjoint random parts of the samples, one for each fraction; every part keeps the order of the source."""
    if min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions must be positive and add up to 1 at most, not {fractions}")
    order = rng.permutation(samples.count)
    bounds = [0, *(round(samples.count * min(total, 1.0)) for total in np.cumsum(fractions))]
    return tuple(samples.take(np.sort(order[start:stop])) for start, stop in pairwise(bounds))


def held(
    rows: Rows, numbers: Numbers, item: Sequence[int], progress: Callable[[int, int], None], most: int = 256 * 2**20
) -> Rows:
    """`rows` of uint8 items; those of `numbers`, ascending, are made once and kept if they fit into `most` bytes."""
    count = len(numbers)
    if count * int(np.prod(item)) > most:
        return rows
    kept = np.empty((count, *item), np.uint8)
    step = max(1, min(64, count // 20))
    for start in range(0, count, step):
        stop = min(start + step, count)
        kept[start:stop] = rows(numbers[start:stop])
        progress(stop, count)

    def looked_up(wanted: Numbers) -> NDArray[Any]:
        places = np.minimum(np.searchsorted(numbers, wanted), count - 1)
        return kept[places] if np.array_equal(numbers[places], wanted) else rows(wanted)

    return looked_up
