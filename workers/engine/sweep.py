"""Layer by layer: capture statistics, pose the problem, let the methods solve it, write the weights back, go on.

The original model runs one phase ahead of the compressed one. A phase costs one pass of its own operations over the
calibration samples in each model, so that the whole compression costs two forward passes and the solves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import openvino as ov

from workers.engine.capture import StatisticsCollector, find_sites
from workers.engine.moments import LayerMoments, OutputMoments, pool
from workers.engine.normal_equations import solve_normal_equations
from workers.engine.sample_schedule import Batches, Frontiers, Stream, schedule
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, read_weight, write_bias, write_weight
from workers.ir.graph.frontier import advance_frontier
from workers.ir.graph.layers import Float32, Indices, Layer, nodes_by_name
from workers.ir.graph.segments import cut
from workers.methods.problem import Array, LayerProblem, Method, Step

DAMPING = 1e-3  # of the mean diagonal of H
SYNTHETIC_LAST_DAMPING = (
    0.3  # the same for the last layer, where the samples are made up: the deeper, the less they tell of real ones
)


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What became of one layer."""

    layer: Layer
    steps: tuple[Step, ...]  # that changed it
    original: Array  # (g, r, c)
    weight: Array  # (g, r, c), float32 values
    scale: Array | None  # LayerSolution.scale of the last method
    biases: Mapping[str, Array]  # (channels,) by operation
    relative_error: float  # E‖z − Ŵ y‖² / E‖z‖², about the means
    samples: int  # that its statistics were taken from
    statistics: Mapping[str, float]
    channels: Indices | None = None  # the original's output channels that are left, where some were removed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands among those that are solved."""

    phase: int
    number: int  # in the order of phases
    count: int

    @property
    def depth(self) -> float:
        """0 for the first layer, 1 for the last."""
        return self.number / max(self.count - 1, 1)


class Memory(Protocol):
    """What an interrupted run of the same compression has left to this one, or one beside it leaves."""

    def restore(self, start: LayerResult) -> LayerResult | None:
        """The result for a layer that stands as `start` says before it is solved."""

    def save(self, result: LayerResult) -> None:
        """Keep a result for a run after this one."""

    def claim(self, layer: str, wait: bool = False) -> bool:
        """Keep other runs from solving a layer; False where one of them is at it, unless we `wait` for it to end."""

    def release(self, layer: str) -> None:
        """Let other runs have a layer."""


class Forgetful:
    """No memory."""

    def restore(self, start: LayerResult) -> LayerResult | None:
        """Nothing."""
        return None

    def save(self, result: LayerResult) -> None:
        """Nothing."""

    def claim(self, layer: str, wait: bool = False) -> bool:
        """There are no other runs."""
        return True

    def release(self, layer: str) -> None:
        """Nothing."""


Plan = Sequence[tuple[Layer, tuple[Method, ...]]]
NOTHING_YET: Mapping[str, LayerResult] = {}
FORGETFUL = Forgetful()


def compress(
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
) -> list[LayerResult]:
    """Compress the planned layers of `model` in place, each by its methods one after another.

    `batched` is the same model, with the same names, for `batch_size` samples at once; it is consumed. Free weights are
    rounded to `stored`, the type the model keeps its weights in. Layers in `earlier`, the results of sweeps before this one,
    keep their zeros. The damping of H rises geometrically from DAMPING in the first layer to `last_damping` in the last. What
    `memory` can restore is not solved again, and phases of which all is restored cost nothing.
    Returns the results in the order in which they were solved.
    """
    layers = [layer for layer, _ in plan]
    biases = ensure_bias(model, layers)
    sites = find_sites(batched, layers, ensure_bias(batched, layers))
    nodes = [site.node for site in sites]
    original = cut(batched.clone(), nodes, exposed=[(node, 0) for node in nodes])
    compressed = cut(batched, nodes)
    stream = Stream(samples, batch_size)
    frontiers = Frontiers(original, compressed, stream, threads)
    starts = {layer.name: start_of(model, layer, methods, earlier.get(layer.name)) for layer, methods in plan}
    restored = {name: found for name, start in starts.items() if (found := memory.restore(start))}
    left = [original.phases[layer.nodes[0]] for layer in layers if layer.name not in restored]
    results: list[LayerResult] = []
    for phase, batches in enumerate(schedule(original.held, stream.length), start=1):
        running = phase >= min(left, default=phase + 1)  # phases before are restored whole
        if running:
            dense, sparse = frontiers.resize(phase, batches)
            here = [site for site in sites if original.phases[site.node] == phase]
            tally = StatisticsCollector(here, batches, [seed, phase])
            for number, seen in enumerate(advance_frontier(original, phase, dense, threads)):
                tally.add(seen, sparse[number], stream.share(number))
        for layer, methods in plan:
            if original.phases[layer.nodes[0]] != phase:
                continue
            result = restored.get(layer.name)
            if result is None:
                outputs = {node: seen for node, seen in tally.outputs().items() if node in layer.nodes}
                start = replace(starts[layer.name], samples=stream.samples(batches))
                place = Place(phase, len(results), len(plan))
                result = solve(model, start, methods, outputs, place, last_damping, biases, stored, seed)
                memory.save(result)
            for part in (model, *(segment.model for segment in compressed.segments[phase:])):
                write(part, result, biases)
            results.append(result)
            on_layer(result)
        if running:
            for _ in advance_frontier(compressed, phase, sparse, threads):
                pass
    return results


def start_of(model: ov.Model, layer: Layer, methods: tuple[Method, ...], earlier: LayerResult | None) -> LayerResult:
    """A layer as it stands before `methods` solve it."""
    weight = read_weight(model, layer).astype(np.float64)
    return LayerResult(
        layer=layer,
        steps=(*earlier.steps, *methods) if earlier else methods,
        original=earlier.original if earlier else weight,
        weight=weight,
        scale=None,
        biases={},
        relative_error=0.0,
        samples=0,
        statistics=earlier.statistics if earlier else {},
        channels=earlier.channels if earlier else None,
    )


def solve(
    model: ov.Model,
    start: LayerResult,
    methods: tuple[Method, ...],
    outputs: Mapping[str, OutputMoments],
    place: Place,
    last_damping: float,
    biases: Mapping[str, Bias],
    stored: type[np.float32] | type[np.float16],
    seed: int,
) -> LayerResult:
    """A layer, solved by its methods from the statistics of its operations' outputs."""
    rng = np.random.default_rng([seed, place.phase, place.number])
    damping = DAMPING * (last_damping / DAMPING) ** place.depth
    support = start.weight != 0 if len(start.steps) > len(methods) else None
    moments = pool(list(outputs.values()))
    problem = replace(pose(start.layer, start.weight, moments, damping), support=support)
    statistics = dict(start.statistics)
    for method in methods:
        solution = method.solve(problem, rng)
        problem = replace(problem, original=solution.weight, support=solution.weight != 0)
        statistics |= solution.statistics
    kind = stored if solution.scale is None else np.float32
    weight = solution.weight.astype(kind).astype(np.float64) + 0.0  # no negative zeros
    return replace(
        start,
        weight=weight,
        scale=solution.scale,
        biases={node: _bias(read_bias(model, biases[node]), weight, seen) for node, seen in outputs.items()},
        relative_error=moments.error(weight) / moments.energy if moments.energy else 0.0,
        statistics=statistics,
    )


def pose(layer: Layer, original: Array, moments: LayerMoments, damping: float = DAMPING) -> LayerProblem:
    """The problem of `layer` with weights `original` (g, r, c), damped towards them by a share of H's mean diagonal."""
    level = damping * np.einsum("gcc->g", moments.covariance) / original.shape[2]
    ridge = np.where(level > 0, level, 1.0)[:, None, None].astype(np.float64)
    hessian = moments.covariance + ridge * np.eye(original.shape[2])
    target = solve_normal_equations(hessian, moments.cross + ridge * original)
    return LayerProblem(layer.name, target, hessian, original, taps=layer.geometry.taps)


def _bias(bias: Float32, weight: Array, seen: OutputMoments) -> Array:
    """b + E[z] − Ŵ E[y], (channels,): the bias absorbs the means."""
    shift = seen.mean - np.einsum("grc,gc->gr", weight, seen.inputs.mean)
    return np.asarray(bias + shift.reshape(-1), np.float64)


def write(model: ov.Model, result: LayerResult, biases: Mapping[str, Bias]) -> None:
    write_weight(model, result.layer, result.weight)
    present = nodes_by_name(model)
    for node, vector in result.biases.items():
        if biases[node].add in present:
            write_bias(model, biases[node], vector)
