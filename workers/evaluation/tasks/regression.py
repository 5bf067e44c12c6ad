"""Regression: R², RMSE and MAE, against the labels or against what the original says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, Reference, both


class Said(NamedTuple):
    """What is kept of a sample."""

    before: Values  # (d,)
    after: Values
    label: Values | None


@dataclass(frozen=True, slots=True)
class Regression:
    """Real numbers for every sample."""

    output: int  # its position
    name: ClassVar[str] = "regression"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.VALUES})
    notes: ClassVar[tuple[str, ...]] = ()

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Said]:
        """The numbers of both models."""
        sides = [np.asarray(o[self.output], np.float64).reshape(len(o[self.output]), -1) for o in (before, after)]
        truths = [None] * len(sides[0]) if targets is None else [np.asarray(t, np.float64).reshape(-1) for t in targets]
        return [Said(*row) for row in zip(*sides, truths, strict=True)]

    def measures(self, rows: Sequence[Said]) -> tuple[Measure, ...]:
        """R², the mean over the numbers of a sample; RMSE and MAE over all of them."""
        before, after = (np.stack([getattr(row, side) for row in rows]) for side in ("before", "after"))
        labels = [row.label for row in rows if row.label is not None]
        known = _against(np.stack(labels), before, after, "labels") if len(labels) == len(rows) else ()
        return known + _against(before, before, after, "original")


def r_squared(truth: Values, said: Values, counts: Values) -> Values:
    """Coefficient of determination (r,), the mean over the columns of (n, d) that vary; samples are counted (r, n) times."""
    total = counts.sum(axis=1)[:, None]
    centred = truth - truth.mean(axis=0)  # sums of squares far from zero would lose their digits
    spread = counts @ centred**2 - (counts @ centred) ** 2 / total
    least = 1e-9 * np.maximum(total * centred.var(axis=0), np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(spread > least, 1 - counts @ (truth - said) ** 2 / spread, np.nan)
        known = np.isfinite(shares)
        mean: Values = np.where(known, shares, 0).sum(axis=1) / known.sum(axis=1)
        return mean


def _against(truth: Values, before: Values, after: Values, reference: Reference) -> tuple[Measure, ...]:
    def error(power: int) -> Measure:
        def metric(side: Values, counts: Values) -> Values:
            mean: Values = (counts @ (np.abs(truth - side) ** power).mean(axis=1)) / counts.sum(axis=1)
            return mean ** (1 / power)

        name = {1: "mae", 2: "rmse"}[power]
        return Measure(name, len(truth), both(metric, before, after), reference, bounded=False, higher_is_better=False)

    determined = both(lambda side, counts: r_squared(truth, side, counts), before, after)
    return Measure("r2", len(truth), determined, reference), error(2), error(1)
