"""The original and the compressed model on the same held-out samples, sample by sample, both in f32."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.errors import LabelMismatch, NonFiniteResult
from workers.evaluation.model_outputs import (
    HeldOutSamples,
    answers,
    finite_outputs,
    inference_request,
    look_at_outputs,
    padded,
    readings_of,
)
from workers.evaluation.tasks import Seen, Task, TaskRequest, task_of
from workers.randomness import Stream, generator
from workers.report.schema import Source
from workers.statistics.constraint import Outcomes
from workers.statistics.decisions import Numbers, OutputKind, Reading, Rows, compare_outputs
from workers.statistics.measures import Resampled

NOTHING_SAID = TaskRequest()


@dataclass(slots=True)
class OutputComparison:
    """One output on the samples seen so far."""

    name: str
    reading: Reading
    parts: list[Rows] = field(default_factory=list)
    note: str | None = None
    comparable: bool = True

    @property
    def rows(self) -> Rows:
        """One row of `decisions.ROW` per sample."""
        return np.concatenate(self.parts)

    def add(self, before: Numbers, after: Numbers) -> None:
        """Compare a further batch of the two models' outputs, (n, ...) each."""
        if before.shape != after.shape:
            self.comparable, self.note = False, f"The size of output {self.name!r} depends on the data: it is not compared."
        elif self.comparable:
            self.parts.append(compare_outputs(self.reading, *self._finite(before, after)))

    def _finite(self, before: Numbers, after: Numbers) -> tuple[Numbers, Numbers]:
        """The same values where the original's are finite, and equal finite ones elsewhere."""
        known = np.isfinite(before)
        if not np.isfinite(after[known]).all():
            also = "" if known.all() else ", which returns them elsewhere"
            raise NonFiniteResult(
                f"The compressed model returns NaN or infinity in output {self.name!r} where the original does not{also}."
            )
        if known.all():
            return before, after
        self.note = f"The original returns NaN or infinity in output {self.name!r}; those values are not compared."
        finite = before[known]
        low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
        replaced = np.nan_to_num(before, nan=0, posinf=high, neginf=low)
        return replaced, np.where(known, after, replaced)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Raw results, sample by sample: enough for a verdict, a search, or another choice of intervals."""

    source: Source
    n: int
    outputs: tuple[OutputComparison, ...]
    labels: NDArray[np.int64] | None  # (n,) if the headline answers them
    notes: tuple[str, ...]
    task: Task
    measures: tuple[Resampled, ...]  # of the task, those against the labels first
    rows: Sequence[Any]  # what the task keeps of every sample
    class_names: tuple[str, ...]

    @property
    def headline(self) -> OutputComparison | None:
        """The output that decides most."""
        return _headline(self.outputs)

    @property
    def decides(self) -> bool:
        """Whether every sample has one class."""
        return self.task.name == "classification"

    @property
    def decisions(self) -> Rows | None:
        """The class of every sample by both models, where the task is to name one."""
        return self.headline.rows if self.headline and self.decides else None

    @property
    def outcomes(self) -> Outcomes:
        """What a constraint is judged by."""
        synthetic = self.source != "dataset"
        if self.headline is None or not self.decides:
            return Outcomes(synthetic, measures=self.measures)
        rows = self.headline.rows
        if self.labels is None:
            return Outcomes(synthetic, rows["agreement"], rows["divergence"], measures=self.measures)
        before, after = rows["before"] == self.labels, rows["after"] == self.labels
        return Outcomes(synthetic, rows["agreement"], rows["divergence"], before, after, self.measures)


def detect_outputs(original: ov.Model, samples: HeldOutSamples, threads: int) -> tuple[OutputComparison, ...]:
    """How the outputs of `original` are read, from its answer to the first sample; nothing is compared yet."""
    return tuple(
        OutputComparison(output.name, reading)
        for output, reading in readings_of(look_at_outputs(original, samples, inference_request(original, samples, 1, threads)))
    )


def find_task(
    original: ov.Model,
    samples: HeldOutSamples,
    threads: int,
    asked: TaskRequest = NOTHING_SAID,
    request: ov.InferRequest | None = None,
) -> Task:
    """The task of a model, worth asking before the work begins; `request` is the model compiled for one sample, if it was.

    Raises InvalidRecipe where the outputs do not fit what the recipe or the labels say, LabelMismatch for labels that are not
    among the classes.
    """
    seen = look_at_outputs(original, samples, request or inference_request(original, samples, 1, threads))
    return _task(seen, samples, asked)


def _task(seen: Seen, samples: HeldOutSamples, asked: TaskRequest = NOTHING_SAID) -> Task:
    task = task_of(seen, asked, samples.target_kind)
    if task.name == "classification":
        _check_labels(seen.readings[seen.headline], samples.labels)
    return task


def compare_models(
    original: ov.Model,
    compressed: ov.Model,
    samples: HeldOutSamples,
    *,
    batch_size: int,
    threads: int,
    task: Task | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Run both models on all samples, `batch_size` at a time; 1 for models that take no batches.

    The task is found where none is given; `seed` draws the resamples of its metrics. Raises as `find_task` does, or
    NonFiniteResult if the compressed model returns NaN or infinity where the original does not.
    """
    requests = [inference_request(model, samples, batch_size, threads) for model in (original, compressed)]
    seen = look_at_outputs(original, samples, requests[0], batch_size)
    task = task or _task(seen, samples)
    outputs = [OutputComparison(output.name, reading) for output, reading in readings_of(seen)]
    labelled = samples.target_kind in task.answers
    rows: list[Any] = []
    for start in range(0, samples.count, batch_size):
        stop = min(start + batch_size, samples.count)
        inputs = {name: padded(value, stop - start, batch_size) for name, value in samples.batch(start, stop).items()}
        before, after = (answers(request, inputs, batch_size, stop - start) for request in requests)
        for output, first, second in zip(outputs, before, after, strict=True):
            output.add(first, second)
        rows += task.compare(
            finite_outputs(before), finite_outputs(after), samples.targets_of(start, stop) if labelled else None
        )
        progress(stop, samples.count)
    measures = tuple(measure.resampled(generator(seed, Stream.TASK_METRICS)) for measure in task.measures(rows))
    return Comparison(
        samples.source,
        samples.count,
        tuple(output for output in outputs if output.comparable),
        samples.labels if labelled and task.name == "classification" else None,
        tuple(_notes(outputs, task, samples)),
        task,
        measures,
        rows,
        samples.class_names,
    )


def _notes(outputs: Sequence[OutputComparison], task: Task, samples: HeldOutSamples) -> Iterator[str]:
    """What a reader of the figures must know."""
    yield from (output.note for output in outputs if output.note)
    yield from task.notes
    headline = _headline([output for output in outputs if output.comparable and output.parts])
    if headline and task.name == "classification" and samples.count > 1 and len(np.unique(headline.rows["before"])) == 1:
        yield f"The original names one class for all {samples.count} samples: that decisions are unchanged tells little."
    if samples.target_kind is not None and samples.target_kind not in task.answers:
        yield f"The labels are not used: the task is {task.name}, and they are of the kind {samples.target_kind.value!r}."


def compare_answers(
    task: Task,
    samples: HeldOutSamples,
    before: Sequence[list[Numbers]],
    after: Sequence[list[Numbers]],
) -> Resampled | None:
    """The first metric against the labels of two lists of answers to the first of the samples; None where there is none.

    On the samples as they are, without resamples.
    """
    rows: list[Any] = []
    for index, (first, second) in enumerate(zip(before, after, strict=True)):
        rows += task.compare(first, second, samples.targets_of(index, index + 1))
    measure = next((measure for measure in task.measures(rows) if measure.reference == "labels"), None)
    return measure.scored(np.ones((1, measure.n))) if measure else None


def _headline(outputs: Iterable[OutputComparison]) -> OutputComparison | None:
    """The first of the outputs of the most telling kind."""
    order = list(OutputKind)
    return min(outputs, key=lambda output: order.index(output.reading.kind), default=None)


def _check_labels(reading: Reading, labels: NDArray[np.int64] | None) -> None:
    classes = reading.classes
    if labels is None or not classes or (labels.min() >= 0 and labels.max() < classes):
        return
    wrong = int(labels.min()) if labels.min() < 0 else int(labels.max())
    raise LabelMismatch(
        f"The labels hold class {wrong}, and the model's classes run from 0 to {classes - 1}.",
        hint="Give class indices as the model counts them; some models reserve class 0 for the background.",
    )
