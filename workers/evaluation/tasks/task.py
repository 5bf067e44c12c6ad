"""What a task is: how outputs are decoded, and which metrics they have with and without labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.statistics.measures import Measure, Reference

Array = NDArray[Any]
Outputs = Sequence[Array]  # all outputs of a model in their order, (n, ...) each
Row = Any  # what a task keeps of a sample: all that its metrics need, and little


class ClassScore(NamedTuple):
    """What a task's first metric is for one class."""

    label: int
    n: int  # samples, objects or pixels of it
    before: float
    after: float
    reference: Reference


class Task(Protocol):
    """One kind of answer. Its first measure is the one that it is known by."""

    @property
    def name(self) -> str:
        """As recipes spell it."""

    @property
    def classes(self) -> int | None:
        """How many classes a guess would choose from; None where that says nothing."""

    @property
    def answers(self) -> frozenset[TargetKind]:
        """What its samples may be labelled with."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How outputs are read, for the report."""

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Any] | None) -> list[Row]:
        """What is to be kept of a batch of samples; `targets` are of a kind that the task answers."""

    def measures(self, rows: Sequence[Row]) -> tuple[Measure, ...]:
        """Against the labels where there are any, then against the original."""
