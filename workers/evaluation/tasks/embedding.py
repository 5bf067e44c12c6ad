"""Embeddings: who is near to whom. Rank correlation of similarities and recall of neighbours, sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, NamedTuple

import numpy as np

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, mean_measure
from workers.statistics.ranks import rank_bounds

NEIGHBOURS = 5
FEWEST = 3  # samples that have an order among them
MOST = 4000  # samples whose similarities are worked out: every one to every other


class Placed(NamedTuple):
    """What is kept of a sample."""

    before: Array  # (d,) of length 1
    after: Array
    label: int | None


@dataclass(frozen=True, slots=True)
class Embedding:
    """A direction for every sample; similar samples have similar ones."""

    output: int  # its position
    name: ClassVar[str] = "embedding"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.CLASS})
    notes: ClassVar[tuple[str, ...]] = ("Embeddings are compared by their cosine.",)

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[int] | None) -> list[Placed]:
        """The directions of both models; those of tokens are averaged first."""
        sides = [_directions(outputs[self.output]) for outputs in (before, after)]
        labels = [None] * len(sides[0]) if targets is None else [int(target) for target in targets]
        return [Placed(*row) for row in zip(*sides, labels, strict=True)]

    def measures(self, rows: Sequence[Placed]) -> tuple[Measure, ...]:
        """With labels, the share of samples with one of their class among the nearest; always, how neighbourhoods are kept."""
        if not FEWEST <= len(rows) <= MOST:
            return ()
        similar = [_similarities(np.stack([getattr(row, side) for row in rows])) for side in ("before", "after")]
        k = min(NEIGHBOURS, len(rows) - 2)
        near = [np.argsort(-matrix, axis=1, kind="stable")[:, :k] for matrix in similar]
        labels = [row.label for row in rows if row.label is not None]
        known = (_recall_of_labels(np.array(labels), near),) if len(labels) == len(rows) else ()
        kept = [len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)]
        ranks = [spearman(*pair) for pair in zip(*map(_without_self, similar), strict=True)]
        itself = np.ones(len(rows))
        return (
            *known,
            mean_measure("spearman", [itself, ranks], "original"),
            mean_measure("recall_at_k", [itself, kept], "original"),
        )


def spearman(first: Values, second: Values) -> float:
    """Rank correlation; 1 for two rows without any order, 0 where one of them has none."""
    ranks = [np.add(*rank_bounds(row)) / 2 - len(row) / 2 for row in (first, second)]  # tied values share a place
    norms = [float(row @ row) for row in ranks]
    if min(norms) == 0:
        return float(max(norms) == 0)
    return float(ranks[0] @ ranks[1]) / sqrt(norms[0] * norms[1])


def _directions(values: Array) -> Array:
    vectors = np.asarray(values, np.float32)
    flat = vectors.mean(axis=tuple(range(1, vectors.ndim - 1))) if vectors.ndim > 2 else vectors.reshape(len(vectors), -1)
    directions: Array = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return directions


def _similarities(directions: Array) -> Values:
    """Cosines (n, n), rounded so that equals tie; nobody is its own neighbour."""
    cosines = np.round(directions.astype(np.float64) @ directions.T.astype(np.float64), 6)
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def _without_self(similar: Values) -> Values:
    n = len(similar)
    others: Values = similar[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return others


def _recall_of_labels(labels: Array, near: Sequence[Array]) -> Measure:
    hits = [(labels[places] == labels[:, None]).any(axis=1).astype(np.float64) for places in near]
    alone = np.array([np.count_nonzero(labels == label) == 1 for label in labels])
    return mean_measure("recall_at_k", [np.where(alone, np.nan, hit) for hit in hits], "labels")
