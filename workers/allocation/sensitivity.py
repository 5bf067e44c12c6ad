"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.allocation.output_harm import OutputLoss, compare_output
from workers.engine.capture import Site, find_sites
from workers.engine.layer import LayerTask, make_tasks
from workers.engine.sample_schedule import BatchStream, SampleSource
from workers.evaluation.model_outputs import activation_of
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, write_bias, write_weight
from workers.ir.graph.frontier import Batch, Runner, kept
from workers.ir.graph.layers import Float32, Layer, nodes_by_name
from workers.ir.graph.segments import Key, Segment, cut, every, tensor_key
from workers.methods.problem import Array
from workers.statistics.decisions import Activation

Outputs = dict[Key, list[NDArray[Any]]]  # of the model, for every batch

TOGETHER = 6  # layers, one after another, that run as one: a compilation costs as much as the inference of a few of them
MEAN_ROWS = 256  # of a batch, that show the mean input of a layer
FEWEST = 8  # samples that a layer's effect is measured on
PASSES = 2  # over all samples that the layers may run through together; each runs half of the model, on average


def affordable_samples(count: int, layers: int, most: int) -> int:
    """On how many of `count` samples the effects of so many layers are measured, `most` at the most."""
    return min(max(PASSES * count // max(layers, 1), FEWEST), most, count)


def output_losses(
    batched: ov.Model,
    weights: Sequence[tuple[Layer, Float32]],
    samples: SampleSource,
    *,
    batch_size: int,
    threads: int,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> dict[str, OutputLoss]:
    """What the outputs lose with one layer's weights (g, r, c) in place and its mean output kept, by layer name.

    The mean over the outputs of the model. `batched` is the model for `batch_size` samples at once, not consumed; all samples
    are in memory. Every layer costs a pass over what follows it, and is told to `progress` once it is done.
    """
    model = batched.clone()
    tasks = make_tasks(model, [(layer, ()) for layer, _ in weights])
    chain = _Chain(model, tasks, threads)
    stream = BatchStream(samples, batch_size)
    frontier = chain.start(dict(batch) for batch in stream.batches(0, stream.length))
    expected = chain.outputs(frontier, 1)
    compressed = {layer.name: weight for layer, weight in weights}
    losses: dict[str, OutputLoss] = {}
    for phase in chain.phases:
        here = [task for task in tasks if chain.phase(task.layer) == phase]
        after, means = chain.advance(frontier, phase)
        for task in here:
            found = chain.outputs(frontier, phase, _Change(task, compressed[task.layer.name], means))
            losses[task.layer.name] = chain.loss(expected, {**expected, **found})
            progress(len(losses), len(tasks), task.layer.name)
        frontier = after
    return losses


Means = dict[str, Array]  # of the inputs (g, c) of a layer's operation, by its name


@dataclass(frozen=True, slots=True)
class _Change:
    """A layer that is to have other weights."""

    task: LayerTask
    weight: Float32  # (g, r, c)
    means: Means


class _Chain:
    """A model cut every few layers: once as it is, and once with the inputs of its layers among the outputs."""

    def __init__(self, model: ov.Model, tasks: Sequence[LayerTask], threads: int) -> None:
        self._biases = ensure_bias(model, [task.layer for task in tasks])
        self._sites = find_sites(model, tasks, self._biases)
        self._results = {tensor_key(result.input_value(0)): _described(result) for result in model.get_results()}
        names, sources = [site.node for site in self._sites], [site.source for site in self._sites]
        self._parts = cut(model.clone(), names, self._results, every(TOGETHER))
        self._watched = cut(model.clone(), names, [*self._results, *sources], every(TOGETHER))
        self._threads = threads
        self._runners = [Runner(segment, threads) for segment in self._parts.segments]

    @property
    def phases(self) -> range:
        """All phases, from 1; each is of several layers."""
        return range(1, len(self._parts.segments))

    def phase(self, layer: Layer) -> int:
        """The phase in which a layer first runs."""
        return self._parts.phases[layer.nodes[0]]

    def start(self, batches: Iterable[Batch]) -> list[Batch]:
        """What is known of each batch before the first layer."""
        return [kept(self._parts, 0, batch | _copied(self._runners[0](batch))) for batch in batches]

    def advance(self, frontier: Sequence[Batch], phase: int) -> tuple[list[Batch], Means]:
        """What is known of each batch after a phase, and the mean inputs of its layers."""
        run = Runner(self._watched.segments[phase], self._threads)
        sites = [site for site in self._sites if self._parts.phases[site.node] == phase]
        means: dict[str, list[Array]] = {site.node: [] for site in sites}
        after = []
        for batch in frontier:
            fresh = run(batch)
            for site in sites:
                means[site.node].append(_mean_input(site, (batch | fresh)[site.source]))
            after.append(kept(self._parts, phase, batch | _copied(kept(self._parts, phase, fresh))))
        return after, {node: np.asarray(np.mean(found, axis=0)) for node, found in means.items()}

    def outputs(self, frontier: Sequence[Batch], phase: int, change: _Change | None = None) -> Outputs:
        """The model's outputs, as far as they follow from `phase` on, from what is known before it."""
        changed = self._changed(change) if change else {}
        outputs: Outputs = {}
        for batch in frontier:
            for number in range(phase, len(self._runners)):
                fresh = changed.get(number, self._runners[number])(batch)  # read before the next batch overwrites it
                for key in fresh.keys() & set(self._results):
                    outputs.setdefault(key, []).append(np.array(fresh[key]))
                batch = kept(self._parts, number, batch | fresh)
        return outputs

    def loss(self, expected: Outputs, found: Outputs) -> OutputLoss:
        """The mean loss over the outputs that can be compared."""
        pairs = [(self._results[key], expected[key], found[key]) for key in expected]
        losses = [compare_output(*output, *both) for output, *both in pairs if _comparable(*both)]
        if not losses:
            return OutputLoss(0.0, 0.0)
        return OutputLoss(*(float(np.mean([getattr(loss, name) for loss in losses])) for name in ("error", "harm")))

    def _changed(self, change: _Change) -> dict[int, Runner]:
        """The segments that hold a changed layer."""
        numbers = {self._parts.phases[name] for name in change.task.layer.nodes}
        return {number: Runner(self._with(self._parts.segments[number], change), self._threads) for number in numbers}

    def _with(self, segment: Segment, change: _Change) -> Segment:
        """The segment with the changed layer in it; its mean output stays what it is, where the mean input is known."""
        model = segment.model.clone()
        write_weight(model, change.task.layer, change.weight)
        for node in change.means.keys() & set(change.task.layer.nodes):
            lost = (change.task.weight - change.weight) @ change.means[node][..., None]
            _shift(model, self._biases[node], lost.reshape(-1))
        return replace(segment, model=model)


def _described(result: ov.Node) -> tuple[str, Activation]:
    """An output's name, and what made it."""
    return min(result.output(0).get_names(), default=""), activation_of(result.input_value(0))


def _copied(batch: Batch) -> Batch:
    """Out of the runtime's memory."""
    return {key: np.array(value) for key, value in batch.items()}


def _mean_input(site: Site, value: NDArray[Any]) -> Array:
    """Mean of the input rows of a layer (g, c) in a batch, from some positions."""
    positions = site.layer.geometry.input_positions(value.shape)
    index = np.linspace(0, positions - 1, min(positions, MEAN_ROWS)).astype(np.intp)
    return np.asarray(site.layer.geometry.input_rows(value, index).mean(axis=1, dtype=np.float64))


def _shift(model: ov.Model, bias: Bias, shift: Array) -> None:
    if bias.add in nodes_by_name(model):
        write_bias(model, bias, read_bias(model, bias) + shift)


def _comparable(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> bool:
    """Outputs whose size depends on the data are not, where it has changed."""
    return all(old.shape == new.shape for old, new in zip(expected, found, strict=True))
