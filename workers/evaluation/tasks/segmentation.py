"""Segmentation: mean intersection over union, against the labels or against the original's map."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image

from workers.annotations import IGNORED, TargetKind
from workers.evaluation.tasks.task import Array, ClassScore, Outputs
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, Reference

LONGEST_SIDE = 112  # pixels of maps that are kept to be looked at


class Overlaps(NamedTuple):
    """Pixels of a sample by class (k,): in both maps, and in either; before and after, stacked (2, k)."""

    common: Values
    either: Values


class Maps(NamedTuple):
    """What is kept of a sample."""

    labels: Overlaps | None
    original: Overlaps
    before: Array  # uint8, a small map to be looked at
    after: Array


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A class for every pixel."""

    output: int  # its position
    class_axis: int | None  # of a sample; None where the output holds classes already
    classes: int
    name: ClassVar[str] = "segmentation"
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.MAP})
    notes: ClassVar[tuple[str, ...]] = ()

    def class_maps(self, outputs: Outputs) -> Array:
        """Class indices (n, height, width); a single channel is a yes from 0.5, or a logit from 0, on."""
        values = outputs[self.output]
        if self.class_axis is None:
            return values.reshape(len(values), *values.shape[-2:]).astype(np.int64)
        if values.shape[self.class_axis + 1] > 1:
            best: Array = values.argmax(axis=self.class_axis + 1)
            return best
        yes = values > (0.5 if values.min() >= 0 and values.max() <= 1 else 0)
        return yes.squeeze(self.class_axis + 1).astype(np.int64)

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Maps]:
        """The pixels that both maps share with the labels, and with the original's."""
        maps = list(zip(self.class_maps(before), self.class_maps(after), strict=True))
        truths = [None] * len(maps) if targets is None else [_resized(target, maps[0][0].shape) for target in targets]
        return [
            Maps(
                None if truth is None else self._overlaps(truth, first, second),
                self._overlaps(first, first, second),
                _small(first),
                _small(second),
            )
            for (first, second), truth in zip(maps, truths, strict=True)
        ]

    def measures(self, rows: Sequence[Maps]) -> tuple[Measure, ...]:
        """mIoU: over all samples for a class, then over the classes that there are."""
        labels = [row.labels for row in rows if row.labels is not None]
        found = (_measure(labels, "labels"),) if len(labels) == len(rows) else ()
        return (*found, _measure([row.original for row in rows], "original"))

    def by_class(self, rows: Sequence[Maps]) -> list[ClassScore]:
        """Intersection over union of every class that there is."""
        labels = [row.labels for row in rows if row.labels is not None]
        known = len(labels) == len(rows)
        parts = labels if known else [row.original for row in rows]
        common, either = (np.sum([getattr(part, name) for part in parts], axis=0) for name in Overlaps._fields)
        reference: Reference = "labels" if known else "original"
        there = np.flatnonzero((either > 0).all(axis=0)).tolist()
        shares = common / np.maximum(either, 1)
        return [ClassScore(k, int(either[0, k]), float(shares[0, k]), float(shares[1, k]), reference) for k in there]

    def changes(self, rows: Sequence[Maps]) -> Counter[tuple[int | None, int | None]]:
        """Pixels are too many to be told one by one."""
        return Counter()

    def _overlaps(self, truth: Array, *maps: Array) -> Overlaps:
        known = truth != IGNORED
        wanted = self._histogram(truth[known])
        given = [self._histogram(found[known]) for found in maps]
        common = [self._histogram(truth[known & (found == truth)]) for found in maps]
        return Overlaps(np.stack(common), np.stack([wanted + got - both for got, both in zip(given, common, strict=True)]))

    def _histogram(self, values: Array) -> Values:
        return np.bincount(np.clip(values, 0, self.classes - 1), minlength=self.classes).astype(np.float64)


def _measure(rows: Sequence[Overlaps], reference: Reference) -> Measure:
    common, either = (np.stack([getattr(row, part) for row in rows]) for part in Overlaps._fields)  # (n, 2, k)

    def scores(counts: Values) -> Values:
        with np.errstate(invalid="ignore"):
            shares = np.einsum("rn,nsk->rsk", counts, common) / np.einsum("rn,nsk->rsk", counts, either)
        known = np.isfinite(shares)
        mean: Values = np.where(known, shares, 0).sum(axis=2) / known.sum(axis=2)
        return mean

    return Measure("mIoU", len(rows), scores, reference)


def _small(found: Array) -> Array:
    """Every so many rows and columns of a map."""
    step = max(1, -(-max(found.shape) // LONGEST_SIDE))
    return np.minimum(found[::step, ::step], IGNORED).astype(np.uint8)


def _resized(target: Array, shape: tuple[int, ...]) -> Array:
    """A map of the size of the output, by nearest neighbours."""
    if target.shape == shape:
        return target.astype(np.int64)
    picture = Image.fromarray(target.astype(np.int32)).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return np.asarray(picture, np.int64)
