"""What the layers of a model read and write while it runs as it is: one forward pass for all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import openvino as ov

from workers.engine.capture import StatisticsCollector, find_sites
from workers.engine.moments import OutputMoments
from workers.engine.sample_schedule import Batches, Stream, schedule
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Frontier, advance_frontier, enter
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import cut

Heard = tuple[Layer, Mapping[str, OutputMoments], int]  # a layer, the statistics of its operations, from how many samples


class Listener:
    """The statistics of the layers of `batched`, a model for `batch_size` samples at once, which is consumed."""

    def __init__(
        self, batched: ov.Model, layers: Sequence[Layer], samples: Batches, *, batch_size: int, seed: int, threads: int
    ) -> None:
        self._layers = layers
        self._seed, self._threads = seed, threads
        self._sites = find_sites(batched, layers, ensure_bias(batched, layers))
        nodes = [site.node for site in self._sites]
        self._parts = cut(batched, nodes, exposed=[(node, 0) for node in nodes])
        self._stream = Stream(samples, batch_size)

    def phase(self, layer: Layer) -> int:
        """When a layer is heard, from 1."""
        return self._parts.phases[layer.nodes[0]]

    def hear(self, wanted: Callable[[Layer], bool] = lambda layer: True) -> Iterator[Heard]:
        """The statistics of the layers that are `wanted` by the time the pass comes to them, in the order of phases."""
        frontier: Frontier = []
        for phase, batches in enumerate(schedule(self._parts.held, self._stream.length), start=1):
            del frontier[batches:]
            fresh = self._stream.batches(len(frontier), batches)
            frontier += enter(self._parts, phase, fresh, self._threads)
            here = [layer for layer in self._layers if self.phase(layer) == phase and wanted(layer)]
            names = {node for layer in here for node in layer.nodes if self._parts.phases[node] == phase}
            tally = StatisticsCollector([site for site in self._sites if site.node in names], batches, [self._seed, phase])
            for number, seen in enumerate(advance_frontier(self._parts, phase, frontier, self._threads)):
                tally.add(seen, seen, self._stream.share(number))
            for layer in here:
                outputs = {node: known for node, known in tally.outputs().items() if node in layer.nodes}
                yield layer, outputs, self._stream.samples(batches)
