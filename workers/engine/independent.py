"""Every layer by itself, from the statistics of the original model alone (Lazarevich et al. 2021, section 3.2).

No layer waits for another one, so that several processes may share the work: each runs the original and solves the layers that
no other has claimed. What a layer becomes does not depend on who solves it, nor on how many there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import openvino as ov

from workers.engine.collect import Listener
from workers.engine.sample_schedule import Batches
from workers.engine.sweep import DAMPING, FORGETFUL, NOTHING_YET, LayerResult, Memory, Place, Plan, solve, start_of, write
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.layers import Layer


class Apart:
    """The planned layers of `model`; arguments as those of `workers.engine.sweep.compress`."""

    def __init__(
        self,
        model: ov.Model,
        batched: ov.Model,
        plan: Plan,
        samples: Batches,
        *,
        batch_size: int,
        seed: int,
        threads: int,
        last_damping: float = DAMPING,
        stored: type[np.float32] | type[np.float16] = np.float32,
        earlier: Mapping[str, LayerResult] = NOTHING_YET,
        memory: Memory = FORGETFUL,
        on_layer: Callable[[LayerResult], None] = lambda result: None,
    ) -> None:
        layers = [layer for layer, _ in plan]
        self._model, self._seed, self._caution, self._stored = model, seed, last_damping, stored
        self._memory, self._on_layer = memory, on_layer
        self._methods = {layer.name: methods for layer, methods in plan}
        self._biases = ensure_bias(model, layers)
        self._starts = {layer.name: start_of(model, layer, methods, earlier.get(layer.name)) for layer, methods in plan}
        self._listener = Listener(batched, layers, samples, batch_size=batch_size, seed=seed, threads=threads)
        self._layers = sorted(layers, key=self._listener.phase)
        self._results: dict[str, LayerResult] = {}

    def compress(self) -> list[LayerResult]:
        """Solve all layers, but for those that another process has, and wait for these."""
        while left := self._left():
            self.help()
            for layer in left:
                if layer.name not in self._results:
                    self._memory.claim(layer.name, wait=True)  # until whoever is at it has ended, one way or another
                    self._recall(layer)
                    self._memory.release(layer.name)
        return [self._results[layer.name] for layer in self._layers]

    def help(self) -> None:
        """Solve the layers that nobody else has."""
        for layer, outputs, samples in self._listener.hear(self._claimed) if self._left() else ():
            place = Place(self._listener.phase(layer), self._layers.index(layer), len(self._layers))
            start = replace(self._starts[layer.name], samples=samples)
            methods = self._methods[layer.name]
            result = solve(self._model, start, methods, outputs, place, self._caution, self._biases, self._stored, self._seed)
            self._memory.save(result)
            self._memory.release(layer.name)
            self._finish(result)

    def _left(self) -> list[Layer]:
        return [layer for layer in self._layers if layer.name not in self._results]

    def _claimed(self, layer: Layer) -> bool:
        """Whether a layer is ours to solve."""
        if layer.name in self._results or not self._memory.claim(layer.name):
            return False
        if self._recall(layer):
            self._memory.release(layer.name)
            return False
        return True

    def _recall(self, layer: Layer) -> bool:
        """Take a layer over that has been solved elsewhere; False where it has not."""
        found = self._memory.restore(self._starts[layer.name])
        if found is not None:
            self._finish(found)
        return found is not None

    def _finish(self, result: LayerResult) -> None:
        write(self._model, result, self._biases)
        self._results[result.layer.name] = result
        self._on_layer(result)
