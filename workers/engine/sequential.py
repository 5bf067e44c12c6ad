"""Layer after layer: each is solved on the inputs that the layers before it give in the compressed model.

The original model runs one phase ahead of the compressed one. A phase costs one pass of its own operations over the
calibration samples in each model, so that the whole compression costs two forward passes and the solves.
"""

from collections.abc import Callable, Iterator, Sequence

import openvino as ov

from workers.engine.cache import NO_CACHE, LayerCache
from workers.engine.capture import StatisticsCollector, find_sites
from workers.engine.layer import LayerResult, LayerTask
from workers.engine.sample_schedule import SampleSource, Stream, schedule
from workers.engine.solver import EngineOptions, LayerSolver, LayerStatistics, Position
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Batch, Frontier, advance_frontier, enter
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import Cut, cut


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
    restore is not solved again, and phases of which all is restored cost nothing.
    """
    layers = [task.layer for task in tasks]
    solver = LayerSolver(model, layers, options)
    twins = TwinModels(batched, layers, samples, options)
    restored = {task.layer.name: found for task in tasks if (found := cache.restore(task))}
    left = [twins.phase(layer) for layer in layers if layer.name not in restored]
    results: list[LayerResult] = []
    for phase in twins.phases():
        running = phase >= min(left, default=phase + 1)  # phases before are restored whole
        if running:
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
        if running:
            twins.advance(phase)
    return results


class TwinModels:
    """The original and the compressed model, cut where layers write, at the same moving frontier."""

    def __init__(self, batched: ov.Model, layers: Sequence[Layer], samples: SampleSource, options: EngineOptions) -> None:
        self._sites = find_sites(batched, layers, ensure_bias(batched, layers))
        nodes = [site.node for site in self._sites]
        self._original = cut(batched.clone(), nodes, exposed=[(node, 0) for node in nodes])
        self._compressed = cut(batched, nodes)
        self._stream = Stream(samples, options.batch_size)
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
        """The segments of the compressed model that `phase` and those after it run."""
        return [segment.model for segment in self._compressed.segments[phase:]]

    def collect(self, phase: int) -> None:
        """Run the original through a phase, and take the statistics of the layers that it solves."""
        batches = self._batches[phase - 1]
        self._resize(phase, batches)
        here = [site for site in self._sites if self._original.phases[site.node] == phase]
        collector = StatisticsCollector(here, batches, self._options.seed, phase)
        for number, dense in enumerate(advance_frontier(self._original, phase, self._dense, self._options.threads)):
            collector.add(dense, self._sparse[number], self._stream.share(number))
        self._outputs, self._samples = collector.outputs(), self._stream.samples(batches)

    def seen(self, layer: Layer) -> LayerStatistics:
        """The statistics of a layer of the phase that was collected last."""
        return LayerStatistics({node: seen for node, seen in self._outputs.items() if node in layer.nodes}, self._samples)

    def advance(self, phase: int) -> None:
        """Run the compressed model through a phase, with the layers that are written into it."""
        for _ in advance_frontier(self._compressed, phase, self._sparse, self._options.threads):
            pass

    def _resize(self, phase: int, batches: int) -> None:
        """Bring both frontiers before `phase` to the first `batches` batches."""
        del self._dense[batches:], self._sparse[batches:]
        fresh = range(len(self._dense), batches)
        if fresh:
            self._dense += self._enter(self._original, phase, fresh)
            same = phase == 1  # no layer has run yet
            self._sparse += map(dict, self._dense) if same else self._enter(self._compressed, phase, fresh)

    def _enter(self, parts: Cut, phase: int, numbers: range) -> Iterator[Batch]:
        return enter(parts, phase, self._stream.batches(numbers.start, numbers.stop), self._options.threads)
