"""Several yes or no per sample: F1 at 0.5 over all of them (micro), and the area under the curve, the mean over the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from workers.annotations import TargetKind
from workers.evaluation.decoders.detections import sigmoid
from workers.evaluation.tasks.classification import area_under_curve
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, Reference, both, ratio_measure


class Marks(NamedTuple):
    """What is kept of a sample."""

    before: Values  # (k,) probabilities
    after: Values
    labels: Array | None  # (k,) bool


@dataclass(frozen=True, slots=True)
class Multilabel:
    """Any number of classes for every sample."""

    output: int  # its position
    name: ClassVar[str] = "multilabel"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.LABELS})
    notes: ClassVar[tuple[str, ...]] = ("A label is given from a probability of 0.5 on.",)

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Marks]:
        """The probabilities of both models."""
        sides = [sigmoid(outputs[self.output].reshape(len(outputs[self.output]), -1)) for outputs in (before, after)]
        labels = [None] * len(sides[0]) if targets is None else [np.asarray(target, bool) for target in targets]
        return [Marks(*row) for row in zip(*sides, labels, strict=True)]

    def measures(self, rows: Sequence[Marks]) -> tuple[Measure, ...]:
        """F1, then the area under the curve."""
        before, after = (np.stack([getattr(row, side) for row in rows]) for side in ("before", "after"))
        labels = [row.labels for row in rows if row.labels is not None]
        known = _against(np.stack(labels), before, after, "labels") if len(labels) == len(rows) else ()
        return known + _against(before >= 0.5, before, after, "original")


def _against(truth: Array, before: Values, after: Values, reference: Reference) -> tuple[Measure, ...]:
    decided = [side >= 0.5 for side in (before, after)]
    hits = np.stack([2 * (truth & side).sum(axis=1) for side in decided], axis=1).astype(np.float64)
    all_marks = np.stack([truth.sum(axis=1) + side.sum(axis=1) for side in decided], axis=1).astype(np.float64)

    def area(side: Values, counts: Values) -> Values:
        areas: Values = np.mean([area_under_curve(truth[:, k], side[:, k], counts) for k in mixed], axis=0)
        return areas

    mixed = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    f1 = ratio_measure("f1", hits, all_marks, reference)
    return (f1, Measure("auc", len(truth), both(area, before, after), reference)) if mixed else (f1,)
