"""How the error of every layer rises with its sparsity: statistics are captured once, and every layer is solved at all levels.

Layers are posed on the original's inputs, so that one forward pass of the original serves all of them. They are solved on one
half of the samples and judged on the other: a classifier that is fitted to 300 samples looks perfect on these.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from workers.engine.collect import StatisticsPass
from workers.engine.layer import make_tasks
from workers.engine.moments import output_energy, pool, pool_halves
from workers.engine.sample_schedule import SampleSource
from workers.engine.solver import EngineOptions, damped, damping_of, prior
from workers.ir.graph.layers import Layer
from workers.methods.layerwise_pruning import prune_gradually
from workers.methods.problem import Array, LayerProblem

LEVELS = (0.25, 0.45, 0.6, 0.72, 0.82, 0.9, 0.96)  # of sparsity; errors rise steeply
REFERENCE = 3  # of LEVELS: where one layer's effect on the model's outputs is measured

COARSE = 0.1  # of a row's residual: a curve need not be exact
SMALLEST = 1e-6  # relative error that counts


@dataclass(frozen=True, slots=True)
class JudgedProblem:
    """One layer on the original's inputs, posed by one half of the samples and judged by the other."""

    layer: Layer
    problem: LayerProblem
    unseen: Array  # (g, c, c)  H of the half that judges, damped
    plain: Array  # (g, c, c)  the same without damping

    def error(self, weight: Array) -> float:
        """E‖W y − Ŵ y‖² / E‖W y‖² on the half that judges, in the damped metric."""
        return self._relative(weight, self.unseen)

    def plain_error(self, weight: Array) -> float:
        """The same in the plain metric."""
        return self._relative(weight, self.plain)

    def _relative(self, weight: Array, metric: Array) -> float:
        original = self.problem.original
        return output_energy(weight - original, metric) / (output_energy(original, self.plain) or 1.0)


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """One layer on the original's inputs, pruned more and more."""

    layer: Layer
    errors: Array  # (levels,)  E‖W y − Ŵ y‖² / E‖W y‖² on samples that Ŵ has not seen, in the damped metric, at LEVELS
    weight: Array  # (g, r, c)  Ŵ at LEVELS[REFERENCE]
    error: float  # of that weight, in the plain metric

    def errors_at(self, levels: Array) -> Array:
        """The error at other levels (n,), interpolated in its logarithm; none at 0, and next to none shortly after."""
        known = np.log(np.maximum(self.errors, SMALLEST))
        errors = np.exp(np.interp(levels, (0.0, *LEVELS), (min(np.log(SMALLEST), known[0]), *known)))
        return np.where(levels > 0, errors, 0.0)


def error_curves(
    batched: ov.Model,
    layers: Sequence[Layer],
    samples: SampleSource,
    options: EngineOptions,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> list[ErrorCurve]:
    """The curve of every layer, in topological order; `batched` is the model for `batch_size` samples at once, not consumed."""
    curves: dict[str, ErrorCurve] = {}
    for posed in pose_halves(batched, layers, samples, options):
        curves[posed.layer.name] = _curve(posed)
        progress(len(curves), len(layers), posed.layer.name)
    return [curves[layer.name] for layer in layers]


def pose_halves(
    batched: ov.Model, layers: Sequence[Layer], samples: SampleSource, options: EngineOptions
) -> Iterator[JudgedProblem]:
    """Every layer as one half of the samples poses it, with what the other half has to say; `batched` is not consumed."""
    tasks = {task.layer.name: task for task in make_tasks(batched, [(layer, ()) for layer in layers])}
    statistics = StatisticsPass(batched.clone(), list(tasks.values()), samples, options)
    for layer, seen in statistics.collect():
        damping = damping_of(pool(seen.outputs.values()), statistics.position(layer), options)
        weight, taps, halves = tasks[layer.name].weight, layer.geometry.taps, pool_halves(seen.outputs.values())
        known, unseen = (damped(half, prior(half, damping, taps)) for half in halves)
        problem = LayerProblem(layer.name, weight, known, weight, taps=taps)
        yield JudgedProblem(layer, problem, unseen, halves[1])


def _curve(posed: JudgedProblem) -> ErrorCurve:
    solved = list(prune_gradually(posed.problem, LEVELS, tolerance=COARSE))
    errors = np.array([posed.error(weight) for weight in solved])
    return ErrorCurve(posed.layer, errors, solved[REFERENCE], posed.plain_error(solved[REFERENCE]))
