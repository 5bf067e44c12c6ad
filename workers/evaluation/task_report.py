"""What the report tells of a task: its metrics, what became of every class, and which answers became which."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workers.evaluation.tasks import Task, innermost
from workers.evaluation.tasks.task import ClassScore
from workers.report import ChangedSample, ChangeReport, ClassReport, MetricReport
from workers.statistics.decisions import Rows
from workers.statistics.measures import Resampled

MOST_CHANGES = 50  # pairs of answers, and classes, that are listed
MOST_SAMPLES = 1000  # changed samples that are listed


@runtime_checkable
class Classed(Protocol):
    """A task whose answers are classes."""

    def by_class(self, rows: Sequence[Any]) -> list[ClassScore]:
        """The first metric, class by class, against the labels where there are any."""

    def changes(self, rows: Sequence[Any]) -> Counter[tuple[int | None, int | None]]:
        """How often one class became another, and None where something was lost or came."""


def metric_reports(measures: Sequence[Resampled]) -> tuple[MetricReport, ...]:
    """The metrics that the samples define."""
    return tuple(
        MetricReport(
            name=found.measure.name,
            reference=found.measure.reference,
            higher_is_better=found.measure.higher_is_better,
            bounded=found.measure.bounded,
            original=found.original,
            compressed=found.compressed,
            drop=found.drop,
        )
        for found in measures
        if found.defined
    )


def class_reports(task: Task, rows: Sequence[Any], names: Sequence[str]) -> tuple[ClassReport, ...]:
    """The classes that lost most, then the others, the largest first."""
    task, rows = innermost(task, rows)
    if not isinstance(task, Classed):
        return ()
    scores = sorted(task.by_class(rows), key=lambda score: (score.after - score.before, -score.n))
    return tuple(
        ClassReport(
            label=score.label,
            name=names[score.label] if score.label < len(names) else None,
            n=score.n,
            reference=score.reference,
            original=score.before,
            compressed=score.after,
        )
        for score in scores[:MOST_CHANGES]
    )


def change_reports(task: Task, rows: Sequence[Any]) -> tuple[ChangeReport, ...]:
    """The pairs of answers that changed most often."""
    task, rows = innermost(task, rows)
    if not isinstance(task, Classed):
        return ()
    common = task.changes(rows).most_common(MOST_CHANGES)
    return tuple(ChangeReport(original=before, compressed=after, n=count) for (before, after), count in common)


def changed_samples(rows: Rows | None, labels: NDArray[np.int64] | None) -> tuple[ChangedSample, ...]:
    """The samples of a classifier whose class has changed."""
    if rows is None:
        return ()
    changed = np.flatnonzero((rows["before"] >= 0) & (rows["before"] != rows["after"]))
    surest = changed[np.argsort(-rows["confidence_before"][changed], kind="stable")][:MOST_SAMPLES]
    return tuple(
        ChangedSample(
            sample=index,
            label=None if labels is None else int(labels[index]),
            original=int(rows[index]["before"]),
            compressed=int(rows[index]["after"]),
            original_confidence=float(rows[index]["confidence_before"]),
            compressed_confidence=float(rows[index]["confidence_after"]),
        )
        for index in surest.tolist()
    )
