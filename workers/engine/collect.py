"""What the layers of a model read and write while it runs as it is: one forward pass for all of them."""

from collections.abc import Callable, Iterator, Sequence

import openvino as ov

from workers.engine.capture import StatisticsCollector, find_sites, moment_bytes
from workers.engine.layer import LayerTask
from workers.engine.moments import ImpliedOutputs, OutputMoments, pool
from workers.engine.sample_schedule import TOGETHER, BatchStream, SampleSource, schedule, stride
from workers.engine.solver import EngineOptions, LayerStatistics, Position, pose_task
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Compilations, Frontier, advance_frontier, enter_frontier
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import cut, layer_phases
from workers.methods.problem import LayerProblem
from workers.threads import Threads

MOMENT_BYTES = 2**28  # that the second moments of the phases may take which are run as one


class StatisticsPass:
    """One pass over the samples, for the layers of `batched`, a model for `options.batch_size` samples that is consumed.

    The inputs of so many phases as `together` says, and as MOMENT_BYTES hold, are told by one run, and claimed at once.
    """

    def __init__(
        self,
        batched: ov.Model,
        tasks: Sequence[LayerTask],
        samples: SampleSource,
        options: EngineOptions,
        together: int = TOGETHER,
    ) -> None:
        layers = [task.layer for task in tasks]
        self._sites = find_sites(batched, tasks, ensure_bias(batched, layers))
        nodes = [site.node for site in self._sites]
        sources = [site.source for site in self._sites]
        self._model = batched
        self._parts = cut(batched.clone(), nodes, sources, self._merged(together))
        self._stream = BatchStream(samples, options.batch_size)
        self._options, self.threads = options, Threads(options.threads)
        self.layers = sorted(layers, key=self.phase)

    def _merged(self, together: int) -> Callable[[int], int]:
        """The run in which each phase takes part."""
        phases = layer_phases(self._model, [site.node for site in self._sites])
        sizes = [0] * max(phases.values(), default=0)
        for site in self._sites:
            sizes[phases[site.node] - 1] += moment_bytes(site)
        return stride(sizes, MOMENT_BYTES, together).__getitem__

    def phase(self, layer: Layer) -> int:
        """The phase in which the last of a layer's operations is seen, from 1."""
        return max(self._parts.phases[node] for node in layer.nodes)

    def position(self, layer: Layer) -> Position:
        """Where a layer stands among all of them."""
        return Position(self.phase(layer), self.layers.index(layer), len(self.layers))

    def collect(self, wanted: Callable[[Layer], bool] = lambda layer: True) -> Iterator[tuple[Layer, LayerStatistics]]:
        """The statistics of the layers that are `wanted` by the time the pass comes to them, in the order of phases."""
        frontier: Frontier = []
        known: dict[str, dict[str, OutputMoments | ImpliedOutputs]] = {}  # by layer, until its last operation has been seen
        compilations = Compilations(self._options.threads)
        for phase, batches in enumerate(schedule(self._parts.held, self._stream.length), start=1):
            del frontier[batches:]
            if len(frontier) < batches:
                fresh = self._stream.batches(len(frontier), batches)
                frontier += enter_frontier(self._model, self._parts, phase, fresh, compilations)
            begun = [layer for layer in self.layers if self._first_phase(layer) == phase and wanted(layer)]
            known |= {layer.name: {} for layer in begun}
            sites = [site for site in self._sites if self._parts.phases[site.node] == phase and site.layer.name in known]
            collector = StatisticsCollector(sites, batches, self._options.seed, phase, own=True, threads=self.threads)
            for number, seen in enumerate(advance_frontier(self._parts, phase, frontier, compilations)):
                collector.draw(seen, self._stream.share(number))
                collector.add(seen)
            outputs = collector.outputs()
            for site in sites:
                known[site.layer.name][site.node] = outputs[site.node]
            for layer in self.layers:
                if self.phase(layer) == phase and layer.name in known:
                    yield layer, LayerStatistics(known.pop(layer.name), self._stream.samples(batches))

    def _first_phase(self, layer: Layer) -> int:
        return min(self._parts.phases[node] for node in layer.nodes)


def pose_layers(
    batched: ov.Model, tasks: Sequence[LayerTask], samples: SampleSource, options: EngineOptions
) -> Iterator[LayerProblem]:
    """The problem of every task, from the statistics of the model as it stands; `batched` is consumed."""
    by_name = {task.layer.name: task for task in tasks}
    statistics = StatisticsPass(batched, tasks, samples, options)
    for layer, seen in statistics.collect():
        moments, position = pool(seen.outputs.values()), statistics.position(layer)
        yield pose_task(by_name[layer.name], moments, position, options, statistics.threads)
