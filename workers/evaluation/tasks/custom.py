"""A metric of the user's own, beside those of the task: only on the user's own machine, where the code is the user's anyway."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

from workers.annotations import TargetKind
from workers.errors import InvalidRecipe
from workers.evaluation.tasks.task import Array, Outputs, Task
from workers.statistics.measures import Measure, mean_measure

Metric = Callable[[Mapping[str, Array], Any], float]  # outputs of one sample by name, its label or None -> higher is better


def load_metric(place: str) -> Metric:
    """The function that `place`, FILE:NAME, means. Raises InvalidRecipe where there is none."""
    file, _, name = place.rpartition(":")
    spec = importlib.util.spec_from_file_location("fractune_metric", Path(file))
    if spec is None or spec.loader is None:
        raise InvalidRecipe(f"metric: {file!r} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code, which may do anything
        raise InvalidRecipe(f"metric: {Path(file).name} cannot be imported: {type(error).__name__} {error}.") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise InvalidRecipe(f"metric: {Path(file).name} has no function {name!r}.")
    metric: Metric = found
    return metric


class Custom:
    """A task with one more metric: the mean of a function of every sample."""

    def __init__(self, task: Task, metric: Metric, outputs: Sequence[str], labelled: TargetKind | None) -> None:
        """`labelled` is what the samples that judge are labelled with; the function is not asked about others without."""
        self.task, self.metric, self.outputs, self.labelled = task, metric, outputs, labelled

    @property
    def name(self) -> str:
        """That of the task."""
        return self.task.name

    @property
    def classes(self) -> int | None:
        """As the task says."""
        return self.task.classes

    @property
    def answers(self) -> frozenset[TargetKind]:
        """Anything: what a label means is the function's business."""
        return frozenset(TargetKind)

    @property
    def notes(self) -> tuple[str, ...]:
        """As the task says."""
        return self.task.notes

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Any] | None) -> list[Any]:
        """The rows of the task, each with the function's two scores."""
        sides = [self._scores(outputs, targets) for outputs in (before, after)]
        known = targets if self.labelled in self.task.answers else None
        return list(zip(self.task.compare(before, after, known), *sides, strict=True))

    def measures(self, rows: Sequence[Any]) -> tuple[Measure, ...]:
        """The user's first."""
        scores = [[row[1] for row in rows], [row[2] for row in rows]]
        own = mean_measure("custom", scores, "labels" if self.labelled else "original", bounded=False)
        return own, *self.task.measures([row[0] for row in rows])

    def _scores(self, outputs: Outputs, targets: Sequence[Any] | None) -> list[float]:
        count = len(outputs[0])
        if targets is None and self.labelled:
            return [nan] * count
        samples = [dict(zip(self.outputs, (value[index] for value in outputs), strict=True)) for index in range(count)]
        return [self._score(sample, label) for sample, label in zip(samples, targets or [None] * count, strict=True)]

    def _score(self, sample: Mapping[str, Array], label: Any) -> float:
        """Raises InvalidRecipe where the user's code fails, or returns no number."""
        try:
            score = float(self.metric(sample, label))
        except Exception as error:
            raise InvalidRecipe(f"metric: the function raises {type(error).__name__}: {error}.") from error
        if not isfinite(score):
            raise InvalidRecipe(f"metric: the function returns {score}.")
        return score
