"""Layer after layer: each is solved on the inputs that the layers before it give in the compressed model.

The original model runs one phase ahead of the compressed one. A phase costs one pass of its own operations over the
calibration samples in each model, so that the whole compression costs two forward passes and the solves.
"""

from collections.abc import Callable, Iterator, Sequence

import openvino as ov

from workers.engine.cache import NO_CACHE, LayerCache
from workers.engine.capture import StatisticsCollector, find_sites
from workers.engine.layer import LayerResult, LayerTask
from workers.engine.sample_schedule import BatchStream, SampleSource, schedule
from workers.engine.solver import EngineOptions, LayerSolver, LayerStatistics, Position
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Batch, Frontier, enter_frontier, run_phase
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import cut


def compress_sequentially(
    model: ov.Model,
    batched: ov.Model,
    tasks: Sequence[LayerTask],
    samples: SampleSource,
    options: EngineOptions,
    cache: LayerCache = NO_CACHE,
    on_layer: Callable[[LayerResult], None] = lambda result: None,
) -> list[LayerResult]:
    """Compress the layers of the tasks in `model`, in place, and return their results in the order of their solution.

    `batched` is the same model, with the same names, for `options.batch_size` samples at once; it is consumed. What `cache` can
    restore is not solved again; both models pass it all the same, so that an interruption changes no bit of what follows.
    """
    layers = [task.layer for task in tasks]
    solver = LayerSolver(model, layers, options)
    twins = TwinModels(batched, tasks, samples, options)
    restored = {task.layer.name: found for task in tasks if (found := cache.restore(task))}
    left = {twins.phase(layer) for layer in layers if layer.name not in restored}
    last = max(left, default=0)
    results: list[LayerResult] = []
    for phase in twins.phases():
        if phase <= last:
            twins.enter(phase)
        if phase in left:
            twins.collect(phase)
        for task in tasks:
            if twins.phase(task.layer) == phase:
                result = restored.get(task.layer.name)
                if result is None:
                    result = solver.solve(task, twins.seen(task.layer), Position(phase, len(results), len(tasks)))
                    cache.save(result)
                solver.write(result, *twins.ahead(phase))
                results.append(result)
                on_layer(result)
        if phase < last:
            twins.advance(phase)
    return results


class TwinModels:
    """The original and the compressed model, cut where layers write, at the same moving frontier."""

    def __init__(self, batched: ov.Model, tasks: Sequence[LayerTask], samples: SampleSource, options: EngineOptions) -> None:
        self._sites = find_sites(batched, tasks, ensure_bias(batched, [task.layer for task in tasks]))
        nodes = [site.node for site in self._sites]
        self._models = batched, batched.clone()  # whole: the original and the compressed one
        self._original, self._compressed = (cut(model.clone(), nodes) for model in self._models)
        self._stream = BatchStream(samples, options.batch_size)
        self._options = options
        self._batches = schedule(self._original.held, self._stream.length)
        self._dense: Frontier = []
        self._sparse: Frontier = []

    def phases(self) -> range:
        """All phases, from 1."""
        return range(1, len(self._batches) + 1)

    def phase(self, layer: Layer) -> int:
        """The phase in which a layer is solved."""
        return self._original.phases[layer.nodes[0]]

    def ahead(self, phase: int) -> list[ov.Model]:
        """The compressed model, whole and in the segments that `phase` and those after it run."""
        return [self._models[1], *(segment.model for segment in self._compressed.segments[phase:])]

    def collect(self, phase: int) -> None:
        """Take the statistics of the layers that a phase solves."""
        batches = self._batches[phase - 1]
        here = [site for site in self._sites if self._original.phases[site.node] == phase]
        collector = StatisticsCollector(here, batches, self._options.seed, phase)
        for number, (dense, sparse) in enumerate(zip(self._dense, self._sparse, strict=True)):
            collector.add(dense, sparse, self._stream.share(number))
        self._outputs, self._samples = collector.outputs(), self._stream.samples(batches)

    def seen(self, layer: Layer) -> LayerStatistics:
        """The statistics of a layer of the phase that was collected last."""
        return LayerStatistics({node: seen for node, seen in self._outputs.items() if node in layer.nodes}, self._samples)

    def advance(self, phase: int) -> None:
        """Run both models through a phase, with the layers that are written into the compressed one."""
        run_phase(self._original, phase, self._dense, self._options.threads)
        run_phase(self._compressed, phase, self._sparse, self._options.threads)

    def enter(self, phase: int) -> None:
        """Bring both frontiers before `phase` to the batches that take part in it."""
        batches = self._batches[phase - 1]
        del self._dense[batches:], self._sparse[batches:]
        fresh = range(len(self._dense), batches)
        if fresh:
            original, compressed = self._models
            self._dense += self._enter(original, phase, fresh)
            same = phase == 1  # no layer has run yet
            self._sparse += map(dict, self._dense) if same else self._enter(compressed, phase, fresh)

    def _enter(self, model: ov.Model, phase: int, numbers: range) -> Iterator[Batch]:
        batches = self._stream.batches(numbers.start, numbers.stop)
        return enter_frontier(model, self._original, phase, batches, self._options.threads)
