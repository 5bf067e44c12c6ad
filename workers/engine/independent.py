"""Every layer by itself, from the statistics of the original model alone (Lazarevich et al. 2021, section 3.2).

No layer waits for another one, so that several processes may share the work: each runs the original and solves the layers that
no other has claimed. What a layer becomes does not depend on who solves it, nor on how many there are.
"""

from collections.abc import Callable, Sequence

import openvino as ov

from workers.engine.cache import NO_CACHE, LayerCache
from workers.engine.collect import StatisticsPass
from workers.engine.layer import LayerResult, LayerTask
from workers.engine.sample_schedule import SampleSource
from workers.engine.solver import EngineOptions, LayerSolver
from workers.ir.graph.layers import Layer


class IndependentLayers:
    """The layers of the tasks in `model`; arguments are those of `workers.engine.sequential.compress_sequentially`."""

    def __init__(
        self,
        model: ov.Model,
        batched: ov.Model,
        tasks: Sequence[LayerTask],
        samples: SampleSource,
        options: EngineOptions,
        cache: LayerCache = NO_CACHE,
        on_layer: Callable[[LayerResult], None] = lambda result: None,
    ) -> None:
        layers = [task.layer for task in tasks]
        self._cache, self._on_layer = cache, on_layer
        self._tasks = {task.layer.name: task for task in tasks}
        self._solver = LayerSolver(model, layers, options)
        self._statistics = StatisticsPass(batched, tasks, samples, options, together=1)
        self._results: dict[str, LayerResult] = {}

    def compress(self) -> list[LayerResult]:
        """Solve all layers, but for those that another process has, and wait for these."""
        while left := self._left():
            self.help()
            for layer in left:
                if layer.name not in self._results:
                    self._cache.claim(layer.name, wait=True)  # until whoever is at it has ended, one way or another
                    self._restore(layer)
                    self._cache.release(layer.name)
        return [self._results[layer.name] for layer in self._statistics.layers]

    def help(self) -> None:
        """Solve the layers that nobody else has."""
        for layer, seen in self._statistics.collect(self._claim) if self._left() else ():
            result = self._solver.solve(self._tasks[layer.name], seen, self._statistics.position(layer))
            self._cache.save(result)
            self._cache.release(layer.name)
            self._finish(result)

    def _left(self) -> list[Layer]:
        return [layer for layer in self._statistics.layers if layer.name not in self._results]

    def _claim(self, layer: Layer) -> bool:
        """Whether a layer is ours to solve."""
        if layer.name in self._results or not self._cache.claim(layer.name):
            return False
        if self._restore(layer):
            self._cache.release(layer.name)
            return False
        return True

    def _restore(self, layer: Layer) -> bool:
        """Take a layer over that has been solved elsewhere; False where it has not."""
        found = self._cache.restore(self._tasks[layer.name])
        if found is not None:
            self._finish(found)
        return found is not None

    def _finish(self, result: LayerResult) -> None:
        self._solver.write(result)
        self._results[result.layer.name] = result
        self._on_layer(result)
