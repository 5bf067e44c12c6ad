"""Lines of text by connectionist temporal classification: character error rate, counted by rapidfuzz."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.measures import Measure, Reference, ratio_measure


class Edits(NamedTuple):
    """What is kept of a sample."""

    labels: tuple[int, int, int] | None  # edits before and after, length of the label
    original: tuple[int, int]  # edits from the original's line to the compressed model's, length of the former


@dataclass(frozen=True, slots=True)
class TextLines:
    """A line of characters for every sample."""

    output: int  # its position
    blank: int = 0  # the class that stands for no character
    name: ClassVar[str] = "text_lines"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.TEXT})

    @property
    def notes(self) -> tuple[str, ...]:
        """Which class is the blank."""
        return (f"Lines are read greedily, with class {self.blank} as the blank.",)

    def lines(self, outputs: Outputs) -> list[list[int]]:
        """The characters of every sample: the best class at each place, repetitions and blanks dropped."""
        return [collapse(places.argmax(axis=-1), self.blank) for places in outputs[self.output]]

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Edits]:
        """How many edits lead from one line to the other."""
        rows = []
        for index, (first, second) in enumerate(zip(self.lines(before), self.lines(after), strict=True)):
            known = None
            if targets is not None:
                label = [int(character) for character in targets[index] if character >= 0]  # negative ones fill it up
                known = (Levenshtein.distance(label, first), Levenshtein.distance(label, second), len(label))
            rows.append(Edits(known, (Levenshtein.distance(first, second), len(first))))
        return rows

    def measures(self, rows: Sequence[Edits]) -> tuple[Measure, ...]:
        """Edits of all samples over the characters of all."""
        labels = [row.labels for row in rows if row.labels is not None]
        known = (_rate([(first, second, n) for first, second, n in labels], "labels"),) if len(labels) == len(rows) else ()
        return (*known, _rate([(0, *row.original) for row in rows], "original"))


def collapse(classes: Array, blank: int) -> list[int]:
    """The characters that a path (t,) stands for."""
    changed = np.concatenate([[True], classes[1:] != classes[:-1]])
    kept: list[int] = classes[changed & (classes != blank)].tolist()
    return kept


def _rate(edits: Sequence[tuple[int, int, int]], reference: Reference) -> Measure:
    table = np.array(edits, np.float64)
    return ratio_measure("cer", table[:, :2], table[:, [2, 2]], reference, higher_is_better=False)
