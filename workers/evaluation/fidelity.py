"""How far the compressed model follows the original, on the same samples, both in f32.

Samples are the unit: a sample's anchors or pixels are averaged first, and intervals are over samples.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log10
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.errors import LabelMismatch, NonFiniteResult
from workers.evaluation.decoders import Frame, Output
from workers.evaluation.task_report import change_reports, changed_samples, class_reports, metric_reports
from workers.evaluation.tasks import Seen, Task, TaskRequest, task_of
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.interface import interface_of
from workers.ir.graph.shapes import set_shapes
from workers.ir.reading.inputs import describe_inputs
from workers.randomness import Stream, generator
from workers.report import Fidelity, OutputFidelity
from workers.report.schema import Source
from workers.statistics.constraint import Outcomes
from workers.statistics.decisions import Activation, Numbers, OutputKind, Reading, Rows, compare_outputs, read
from workers.statistics.intervals import Interval, Paired, Values, bootstrap, paired_difference, proportion
from workers.statistics.measures import Resampled

# Operations that hand on what an activation made, be it moved, cut, averaged or resized.
PASSING = frozenset(
    "Convert FakeQuantize Interpolate MaxPool ReduceMax ReduceMean Reshape Slice Split Squeeze StridedSlice Transpose "
    "Unsqueeze VariadicSplit".split()
)
NOTHING_SAID = TaskRequest()
ACTIVATIONS: dict[str, Activation] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


class HeldOutSamples(Protocol):
    """Held-out samples."""

    @property
    def count(self) -> int:
        """Number of samples."""

    @property
    def source(self) -> Source:
        """What they are."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class of each sample (count,)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, by index, as far as it is known."""

    @property
    def target_kind(self) -> TargetKind | None:
        """What the samples are labelled with."""

    def targets_of(self, start: int, stop: int) -> list[Any] | None:
        """The labels of the samples from `start` to `stop`."""

    def batch(self, start: int, stop: int) -> dict[str, Numbers]:
        """Model inputs by name, for the samples from `start` to `stop`."""


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
            raise NonFiniteResult(f"The compressed model returns NaN or infinity in output {self.name!r}.")
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
    return tuple(OutputComparison(output.name, reading) for output, reading in _pairs(_see(original, samples, threads)))


def find_task(original: ov.Model, samples: HeldOutSamples, threads: int, asked: TaskRequest = NOTHING_SAID) -> Task:
    """The task of a model, worth asking before the work begins.

    Raises InvalidRecipe where the outputs do not fit what the recipe or the labels say, LabelMismatch for labels that are not
    among the classes.
    """
    seen = _see(original, samples, threads)
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
    seen = _see(original, samples, threads)
    task = task or _task(seen, samples)
    outputs = [OutputComparison(output.name, reading) for output, reading in _pairs(seen)]
    labelled = samples.target_kind in task.answers
    rows: list[Any] = []
    requests = [_request(model, samples, batch_size, threads) for model in (original, compressed)]
    for start in range(0, samples.count, batch_size):
        stop = min(start + batch_size, samples.count)
        inputs = {name: _filled(value, stop - start, batch_size) for name, value in samples.batch(start, stop).items()}
        before, after = (_infer(request, inputs, batch_size, stop - start) for request in requests)
        for output, first, second in zip(outputs, before, after, strict=True):
            output.add(first, second)
        rows += task.compare(_tamed(before), _tamed(after), samples.targets_of(start, stop) if labelled else None)
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
    if samples.target_kind is not None and samples.target_kind not in task.answers:
        yield f"The labels are not used: the task is {task.name}, and they are of the kind {samples.target_kind.value!r}."


def sample_outputs(model: ov.Model, samples: HeldOutSamples, threads: int) -> list[list[Numbers]]:
    """What one model answers to each of the samples, which it gets one at a time; every output is (1, ...)."""
    request = _request(model, samples, 1, threads)
    return [_tamed(_infer(request, samples.batch(index, index + 1), 1, 1)) for index in range(samples.count)]


def compare_answers(
    task: Task,
    samples: HeldOutSamples,
    before: Sequence[list[Numbers]],
    after: Sequence[list[Numbers]],
    rng: np.random.Generator,
) -> Resampled | None:
    """The first metric against the labels of two lists of answers to the first of the samples; None where there is none."""
    rows: list[Any] = []
    for index, (first, second) in enumerate(zip(before, after, strict=True)):
        rows += task.compare(first, second, samples.targets_of(index, index + 1))
    measure = next((measure for measure in task.measures(rows) if measure.reference == "labels"), None)
    return measure.resampled(rng) if measure else None


def summarise(comparison: Comparison, rng: np.random.Generator) -> Fidelity:
    """The figures with their intervals; `rng` resamples."""
    outputs = {output.name: _output_fidelity(output, rng) for output in comparison.outputs}
    headline = outputs[comparison.headline.name] if comparison.headline else None
    return Fidelity(
        source=comparison.source,
        n=comparison.n,
        task=comparison.task.name,
        metrics=metric_reports(comparison.measures),
        classes=class_reports(comparison.task, comparison.rows, comparison.class_names),
        changes=change_reports(comparison.task, comparison.rows),
        changed_samples=changed_samples(comparison.decisions, comparison.labels),
        headline=headline.name if headline else None,
        kl_divergence=headline.kl_divergence if headline and comparison.decides else None,
        cosine=headline.cosine if headline else None,
        relative_error=headline.relative_error if headline else None,
        outputs=tuple(outputs.values()),
        notes=comparison.notes,
        **(_of_decisions(comparison, headline) if comparison.decides else _of_task(comparison.outcomes)),
    )


def _of_decisions(comparison: Comparison, headline: OutputFidelity | None) -> dict[str, Any]:
    """Agreement and accuracy of a classifier, whose proportions have exact intervals."""
    before, after = comparison.outcomes.right_before, comparison.outcomes.right_after
    return {
        "agreement": headline.agreement if headline else None,
        "accuracy_original": _share(before),
        "accuracy_compressed": _share(after),
        "drop": None if before is None or after is None else paired_difference(Paired.count(before, after)),
    }


def _of_task(outcomes: Outcomes) -> dict[str, Any]:
    """The same of another task, by its first metrics."""
    known, kept = outcomes.measure("accuracy"), outcomes.measure("agreement")
    accuracy = known if known and known.measure.bounded and known.measure.higher_is_better else None
    return {
        "agreement": kept.kept if kept and kept.measure.bounded else None,
        "accuracy_metric": accuracy.measure.name if accuracy else "top1",
        "accuracy_original": accuracy.original if accuracy else None,
        "accuracy_compressed": accuracy.compressed if accuracy else None,
        "drop": accuracy.drop if accuracy else None,
    }


def _output_fidelity(output: OutputComparison, rng: np.random.Generator) -> OutputFidelity:
    rows = output.rows
    error = bootstrap(np.stack([rows["error"], rows["energy"]], axis=1), _relative_error, rng)
    return OutputFidelity(
        name=output.name,
        kind=output.reading.kind,
        n=len(rows),
        agreement=_share(rows["agreement"]),
        foreground_agreement=_share(rows["foreground"]),
        kl_divergence=None if np.isnan(rows["divergence"]).any() else bootstrap(rows["divergence"], _mean, rng),
        cosine=bootstrap(rows["cosine"], _mean, rng),
        relative_error=error,
        sqnr_db=Interval(-10 * log10(error.value), _decibel(error.high), _decibel(error.low)) if error.value else None,
    )


def _share(values: NDArray[Any] | None) -> Interval | None:
    """The mean of what is defined, with its interval."""
    if values is None:
        return None
    numbers = values.astype(np.float64)
    defined = numbers[~np.isnan(numbers)]
    return proportion(defined) if len(defined) else None


def _mean(values: Values) -> Values:
    return np.asarray(values.mean(axis=1))


def _relative_error(rows: Values) -> Values:
    """Error and energy (m, n, 2) -> error of all n over the energy of all, (m,); 1 for an error where silence should be."""
    error, energy = np.moveaxis(rows.sum(axis=1), -1, 0)
    relative: Values = np.where(energy > 0, error / np.where(energy > 0, energy, 1), error > 0)
    return relative


def _decibel(relative_error: float | None) -> float | None:
    return -10 * log10(relative_error) if relative_error else None


def _headline(outputs: Iterable[OutputComparison]) -> OutputComparison | None:
    """The first of the outputs of the most telling kind."""
    order = list(OutputKind)
    return min(outputs, key=lambda output: order.index(output.reading.kind), default=None)


def _see(original: ov.Model, samples: HeldOutSamples, threads: int) -> Seen:
    """What the outputs of a model look like, by its answer to the first sample."""
    values = _infer(_request(original, samples, 1, threads), samples.batch(0, 1), 1, 1)
    made = []
    for port, value in zip(original.outputs, values, strict=True):
        name = min(port.get_names(), default=port.get_node().friendly_name)
        activation = activation_of(port.get_node().input_value(0))
        integers = bool(np.issubdtype(value.dtype, np.integer)) and value.dtype.itemsize > 1
        made.append((Output(name, value.shape[1:], activation, integers), read(name, value, activation)))
    return Seen([output for output, _ in made], [reading for _, reading in made], _tamed(values), _frame(original))


def _pairs(seen: Seen) -> Iterable[tuple[Output, Reading]]:
    return zip(seen.outputs, seen.readings, strict=True)


def _frame(model: ov.Model) -> Frame | None:
    """The size of the first input that takes images."""
    for entry in describe_inputs(model, interface_of(model)):
        if entry.layout is not None:
            sides = dict(zip(entry.layout, entry.shape, strict=True))
            return Frame(sides["H"], sides["W"], sides["C"])
    return None


def _tamed(values: Sequence[Numbers]) -> list[Numbers]:
    """Outputs with finite numbers only: where the original has others, `OutputComparison` tells of it."""
    return [np.nan_to_num(value) if value.dtype.kind == "f" else value for value in values]


def _check_labels(reading: Reading, labels: NDArray[np.int64] | None) -> None:
    classes = reading.classes
    if labels is None or not classes or (labels.min() >= 0 and labels.max() < classes):
        return
    wrong = int(labels.min()) if labels.min() < 0 else int(labels.max())
    raise LabelMismatch(
        f"The labels hold class {wrong}, and the model's classes run from 0 to {classes - 1}.",
        hint="Give class indices as the model counts them; some models reserve class 0 for the background.",
    )


def activation_of(output: ov.Output) -> Activation:
    """The softmax or sigmoid that made an output, if only moves lie between."""
    node = output.get_node()
    while node.get_type_name() in PASSING:
        node = node.input_value(0).get_node()
    return ACTIVATIONS.get(node.get_type_name())


def _request(model: ov.Model, samples: HeldOutSamples, batch_size: int, threads: int) -> ov.InferRequest:
    """Compiled for one size of batch: a model of open axes would be compiled for every size it meets."""
    copy = model.clone()
    first = samples.batch(0, 1)
    values = [next(first[name] for name in port.get_names() if name in first) for port in copy.inputs]
    set_shapes(copy, [(batch_size, *value.shape[1:]) if batch_size > 1 else value.shape for value in values])
    return ov.Core().compile_model(copy, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads}).create_infer_request()


def _filled(value: Numbers, n: int, size: int) -> Numbers:
    """A batch filled up by repetition."""
    return value if n == size else np.resize(value, (size, *value.shape[1:]))


def _infer(request: ov.InferRequest, inputs: dict[str, Numbers], size: int, n: int) -> list[Numbers]:
    """The outputs of the first `n` samples of a batch of `size`, (n, ...) each."""
    results = request.infer(inputs, share_inputs=True)
    return [_by_sample(results[index], size)[:n] for index in range(len(results))]


def _by_sample(value: Numbers, size: int) -> Numbers:
    """An output with the samples on its first axis; a single sample's may lack that axis, or use it for something else."""
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    if value.ndim == 0 or len(value) == size:
        return value.reshape(size, *value.shape[1:])
    return value.reshape(size, len(value) // size, *value.shape[1:])
