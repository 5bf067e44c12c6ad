"""Classification: the share of samples whose class is right, or that of those whose class is still the original's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, ClassScore, Outputs
from workers.statistics.decisions import Reading, probabilities
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, Reference, both, mean_measure

TOP = 5
MOST_CLASSES = 100  # up to which F1 and the area under the curve are worked out


class Scored(NamedTuple):
    """What is kept of a sample."""

    before: Values  # (k,) probabilities
    after: Values
    label: int | None


@dataclass(frozen=True, slots=True)
class Classification:
    """One class for every sample."""

    output: int  # its position
    reading: Reading
    name: ClassVar[str] = "classification"
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.CLASS})
    notes: ClassVar[tuple[str, ...]] = ()

    @property
    def classes(self) -> int:
        """Those that the output tells apart."""
        return self.reading.classes

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[int] | None) -> list[Scored]:
        """The probabilities of both models."""
        first, second = (probabilities(self.reading, outputs[self.output])[:, 0] for outputs in (before, after))
        labels = [None] * len(first) if targets is None else [int(target) for target in targets]
        return [Scored(*row) for row in zip(first, second, labels, strict=True)]

    def measures(self, rows: Sequence[Scored]) -> tuple[Measure, ...]:
        """Top-1 and top-5; F1 (macro) and area under the curve (one against the rest, macro) where classes are few."""
        before, after = (np.stack([getattr(row, side) for row in rows]) for side in ("before", "after"))
        labels = [row.label for row in rows if row.label is not None]
        known = _against(np.array(labels), before, after, "labels") if len(labels) == len(rows) else ()
        return known + _against(before.argmax(axis=1), before, after, "original")

    def by_class(self, rows: Sequence[Scored]) -> list[ClassScore]:
        """The share of the samples of a class that are said to be of it."""
        before, after = (np.array([getattr(row, side).argmax() for row in rows]) for side in ("before", "after"))
        labelled = all(row.label is not None for row in rows)
        truth = np.array([row.label for row in rows]) if labelled else before
        reference: Reference = "labels" if labelled else "original"
        members = {int(label): truth == label for label in np.unique(truth)}
        return [
            ClassScore(label, int(of.sum()), float(np.mean(before[of] == label)), float(np.mean(after[of] == label)), reference)
            for label, of in members.items()
        ]

    def changes(self, rows: Sequence[Scored]) -> Counter[tuple[int | None, int | None]]:
        """Which class became which."""
        pairs = ((int(row.before.argmax()), int(row.after.argmax())) for row in rows)
        return Counter(pair for pair in pairs if pair[0] != pair[1])


def f1_scores(truth: Array, decided: Array, classes: int, counts: Values) -> Values:
    """F1 (r,), the mean over the classes that are there or named, of class indices (n,) counted `counts` (r, n) times."""
    wanted, named = np.eye(classes)[truth], np.eye(classes)[decided]
    hits, asked, given = counts @ (wanted * named), counts @ wanted, counts @ named
    with np.errstate(invalid="ignore"):
        scores: Values = np.nanmean(np.where(asked + given > 0, 2 * hits / (asked + given), np.nan), axis=1)
        return scores


def area_under_curve(yes: Array, scores: Array, counts: Values) -> Values:
    """Area under the ROC curve (r,) of `scores` (n,) for samples that are `yes` (n,); ties count half. NaN for one kind."""
    ranked = np.flatnonzero(~yes)[np.argsort(scores[~yes])]
    passed = np.zeros((len(ranked) + 1, len(counts)))  # negatives among so many of the lowest scores
    np.cumsum(counts.T[ranked], axis=0, out=passed[1:])
    smaller, up_to = (np.searchsorted(scores[ranked], scores[yes], side) for side in ("left", "right"))
    positives, hits = counts.T[yes], passed[smaller] + passed[up_to]  # twice the negatives below, a tie being half of one
    with np.errstate(invalid="ignore"):
        area: Values = np.einsum("nr,nr->r", positives, hits) / (2 * positives.sum(axis=0) * passed[-1])
        return area


def _against(truth: Array, before: Values, after: Values, reference: Reference) -> tuple[Measure, ...]:
    sides, classes = (before, after), before.shape[1]
    right = [side.argmax(axis=1) == truth for side in sides]
    measures = [mean_measure("top1", right, reference)]
    if classes > 2 * TOP:
        rank = [(side > side[np.arange(len(truth)), truth][:, None]).sum(axis=1) for side in sides]
        measures.append(mean_measure("top5", [places < TOP for places in rank], reference))
    if reference == "labels" and classes <= MOST_CLASSES:
        decided = [side.argmax(axis=1) for side in sides]
        f1 = both(lambda side, counts: f1_scores(truth, side, classes, counts), *decided)
        auc = both(lambda side, counts: _one_against_rest(truth, side, counts), *sides)
        measures += [Measure("f1", len(truth), f1, reference), Measure("auc", len(truth), auc, reference)]
    return tuple(measures)


def _one_against_rest(truth: Array, scores: Values, counts: Values) -> Values:
    """Area under the curve (r,): of the second class of two, else the mean over the classes that there are."""
    chosen = [1] if scores.shape[1] == 2 else np.unique(truth)
    areas: Values = np.mean([area_under_curve(truth == label, scores[:, label], counts) for label in chosen], axis=0)
    return areas
