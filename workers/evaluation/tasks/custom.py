"""A metric of the user's own, beside those of the task: only on the user's own machine, where the code is the user's anyway."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
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
    except (ImportError, OSError, SyntaxError) as error:
        raise InvalidRecipe(f"metric: {Path(file).name} cannot be imported: {error}.") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise InvalidRecipe(f"metric: {Path(file).name} has no function {name!r}.")
    metric: Metric = found
    return metric


class Custom:
    """A task with one more metric: the mean of a function of every sample."""

    def __init__(self, task: Task, metric: Metric, outputs: Sequence[str]) -> None:
        self.task, self.metric, self.outputs = task, metric, outputs
        self.labelled = False

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
        self.labelled = targets is not None
        sides = [self._scores(outputs, targets) for outputs in (before, after)]
        return list(zip(self.task.compare(before, after, targets), *sides, strict=True))

    def measures(self, rows: Sequence[Any]) -> tuple[Measure, ...]:
        """The user's first."""
        scores = [[row[1] for row in rows], [row[2] for row in rows]]
        own = mean_measure("custom", scores, "labels" if self.labelled else "original", bounded=False)
        return own, *self.task.measures([row[0] for row in rows])

    def _scores(self, outputs: Outputs, targets: Sequence[Any] | None) -> list[float]:
        scores = []
        for index in range(len(outputs[0])):
            sample = {name: value[index] for name, value in zip(self.outputs, outputs, strict=True)}
            score = float(self.metric(sample, None if targets is None else targets[index]))
            if not isfinite(score):
                raise InvalidRecipe(f"metric: the function returns {score}.")
            scores.append(score)
        return scores
