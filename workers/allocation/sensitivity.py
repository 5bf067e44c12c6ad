"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.allocation.output_harm import OutputLoss, compare_output
from workers.allocation.switched_layers import Means, SwitchedSegment
from workers.engine.layer import LayerTask, make_tasks
from workers.engine.sample_schedule import BatchStream, SampleSource
from workers.evaluation.model_outputs import activation_of
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Batch, Runner, kept
from workers.ir.graph.layers import Float32, Layer
from workers.ir.graph.segments import Key, cut, every, tensor_key
from workers.statistics.decisions import Activation

Outputs = dict[Key, list[NDArray[Any]]]  # of the model, for every batch

TOGETHER = 6  # layers, one after another, that run as one: all of them compute twice while one of them is changed
FEWEST = 8  # samples that a layer's effect is measured on
PASSES = 2  # over all samples that the layers may run through together; each runs half of the model, on average


def affordable_samples(count: int, layers: int, most: int, passes: float = PASSES, fewest: int = FEWEST) -> int:
    """On how many of `count` samples the effects of so many layers are measured, `most` at the most."""
    return min(max(int(passes * count / max(layers, 1)), fewest), most, count)


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
    chain = _Chain(model, tasks, {layer.name: weight for layer, weight in weights}, threads)
    stream = BatchStream(samples, batch_size)
    frontier = chain.start(dict(batch) for batch in stream.batches(0, stream.length))
    expected = chain.outputs(frontier, 1)
    losses: dict[str, OutputLoss] = {}
    for phase in chain.phases:
        after, means = chain.advance(frontier, phase)
        for layer in chain.layers(phase):
            losses[layer] = chain.loss(expected, {**expected, **chain.outputs(frontier, phase, layer, means)})
            progress(len(losses), len(tasks), layer)
        frontier = after
    return losses


class _Chain:
    """A model cut every few layers: as it is, and with other weights of its layers to be switched to."""

    def __init__(self, model: ov.Model, tasks: Sequence[LayerTask], weights: Mapping[str, Float32], threads: int) -> None:
        ensure_bias(model, [task.layer for task in tasks])  # means can be taken off where a constant is added
        self._results = {tensor_key(result.input_value(0)): _described(result) for result in model.get_results()}
        names = [name for task in tasks for name in task.layer.nodes]
        self._parts = cut(model.clone(), names, self._results, every(TOGETHER))
        self._tasks, self._weights, self._threads = tasks, weights, threads
        self._runners = [Runner(segment, threads) for segment in self._parts.segments]
        self._switched: dict[int, SwitchedSegment] = {}  # by phase, where a layer of the present one runs

    @property
    def phases(self) -> range:
        """All phases, from 1; each is of several layers."""
        return range(1, len(self._parts.segments))

    def layers(self, phase: int) -> list[str]:
        """The names of those that first run in a phase."""
        return [task.layer.name for task in self._tasks if min(self._phases(task)) == phase]

    def start(self, batches: Iterable[Batch]) -> list[Batch]:
        """What is known of each batch before the first layer."""
        return [kept(self._parts, 0, batch | _copied(self._runners[0](batch))) for batch in batches]

    def advance(self, frontier: Sequence[Batch], phase: int) -> tuple[list[Batch], Means]:
        """What is known of each batch after a phase, and what the outputs of its layers would gain by their weights."""
        here = [task for task in self._tasks if min(self._phases(task)) == phase]
        wanted = {phase}.union(*map(self._phases, here))
        self._switched = {number: self._with_switches(number) for number in sorted(wanted)}
        gains: dict[str, list[Float32]] = {}
        after = []
        for batch in frontier:
            fresh = self._switched[phase](batch)
            for name, gain in self._switched[phase].gains(fresh).items():
                gains.setdefault(name, []).append(gain)
            after.append(kept(self._parts, phase, batch | _copied(kept(self._parts, phase, fresh))))
        return after, {name: np.mean(found, axis=0) for name, found in gains.items()}

    def outputs(self, frontier: Sequence[Batch], phase: int, layer: str | None = None, means: Means | None = None) -> Outputs:
        """The model's outputs, as far as they follow from `phase` on, from what is known before it, a layer being changed."""
        switched = self._switched if layer else {}
        outputs: Outputs = {}
        for batch in frontier:
            for number in range(phase, len(self._runners)):
                run = switched.get(number)
                fresh = run(batch, layer, means) if run else self._runners[number](batch)  # read before the next overwrites it
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

    def _phases(self, task: LayerTask) -> set[int]:
        """The phases in which a layer runs: several where operations share it."""
        return {self._parts.phases[name] for name in task.layer.nodes}

    def _with_switches(self, phase: int) -> SwitchedSegment:
        tasks = [task for task in self._tasks if phase in self._phases(task)]
        return SwitchedSegment(self._parts.segments[phase], tasks, self._weights, self._threads)


def _described(result: ov.Node) -> tuple[str, Activation]:
    """An output's name, and what made it."""
    return min(result.output(0).get_names(), default=""), activation_of(result.input_value(0))


def _copied(batch: Batch) -> Batch:
    """Out of the runtime's memory."""
    return {key: np.array(value) for key, value in batch.items()}


def _comparable(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> bool:
    """Outputs whose size depends on the data are not, where it has changed."""
    return all(old.shape == new.shape for old, new in zip(expected, found, strict=True))
