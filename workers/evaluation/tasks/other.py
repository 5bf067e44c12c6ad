"""Anything else: how far decisions in the foreground, or values, stay those of the original. There is no metric with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.decisions import OutputKind, Reading, compare_outputs
from workers.statistics.measures import Measure, mean_measure, ratio_measure

DECISIONS = frozenset({OutputKind.CODES, OutputKind.CLASS_MAP, OutputKind.PROBABILITY_MAP})


class Kept(NamedTuple):
    """What is kept of a sample."""

    agreement: float  # in the foreground where there is one; NaN where nothing is decided
    error: float
    energy: float


@dataclass(frozen=True, slots=True)
class Other:
    """Outputs whose meaning nobody has told."""

    output: int  # position of the one that tells most
    reading: Reading
    name: ClassVar[str] = "other"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """What agreement means here."""
        if self.reading.kind not in (OutputKind.CLASS_MAP, OutputKind.PROBABILITY_MAP):
            return ()
        return (
            "What the outputs mean is not known: only positions where either model decides otherwise than the sample's "
            "commonest decision count. Set the recipe's task and decoder for a metric.",
        )

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Kept]:
        """Agreement and error of every sample."""
        if before[self.output].shape != after[self.output].shape:  # their size depends on the data
            return [Kept(np.nan, np.nan, np.nan)] * len(before[self.output])
        rows = compare_outputs(self.reading, before[self.output], after[self.output])
        deciding = "agreement" if self.reading.kind is OutputKind.CODES else "foreground"
        return [Kept(float(row[deciding]), float(row["error"]), float(row["energy"])) for row in rows]

    def measures(self, rows: Sequence[Kept]) -> tuple[Measure, ...]:
        """Agreement where something is decided, then the relative error of the values."""
        agreement, error, energy = np.array(rows, np.float64).T
        nothing = np.zeros(len(rows))
        relative = ratio_measure(
            "relative_error",
            np.stack([nothing, error], axis=1),
            np.stack([energy, energy], axis=1),
            "original",
            higher_is_better=False,
        )
        if self.reading.kind not in DECISIONS:
            return (relative,)
        itself = np.where(np.isnan(agreement), np.nan, 1.0)
        return mean_measure("agreement", [itself, agreement], "original"), relative
