"""How the error of every layer rises with its sparsity: statistics are captured once, and every layer is solved at all levels.

Layers are posed on the original's inputs, so that one forward pass of the original serves all of them. They are solved on one
half of the samples and judged on the other: a classifier that is fitted to 300 samples looks perfect on these.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov

from workers.engine.collect import StatisticsPass
from workers.engine.damping import damping_of, prior
from workers.engine.layer import make_tasks
from workers.engine.moments import output_energy, pool_halves, pool_noise
from workers.engine.sample_schedule import SampleSource
from workers.engine.solver import EngineOptions, check_finite_moments
from workers.ir.graph.layers import Float32, Layer
from workers.methods.layerwise_pruning import prune_gradually
from workers.methods.problem import Array, Indices, LayerProblem, Work

LEVELS = (0.25, 0.45, 0.6, 0.72, 0.82, 0.9, 0.96)  # of sparsity; errors rise steeply
MILD, HARD = 1, 3  # of LEVELS: where one layer's effect on the model's outputs is measured

COARSE = 0.2  # of a row's residual: a curve need not be exact
SMALLEST = 1e-6  # relative error that counts
FEWEST_ROWS = 64
EFFORT = 1e9  # operations of one product with H that a curve takes


@dataclass(frozen=True, slots=True)
class JudgedProblem:
    """One layer on the original's inputs, posed by one half of the samples and judged by the other."""

    layer: Layer
    problem: LayerProblem
    unseen: Work  # (g, c, c)  H of the half that judges, damped
    plain: Work  # (g, c, c)  the same without damping

    def errors(self, weights: Sequence[Array]) -> Array:
        """E‖W y − Ŵ y‖² / E‖W y‖² of several Ŵ on the half that judges, in the damped metric."""
        return np.array([self._lost(weight, self.unseen) for weight in weights]) / self._energy

    def plain_error(self, weight: Array) -> float:
        """The same of one in the plain metric."""
        return self._lost(weight, self.plain) / self._energy

    def some_rows(self) -> tuple["JudgedProblem", Indices]:
        """The problem of evenly spread output channels alone, as many as a product within EFFORT takes, and which these are.

        Rows differ little from one another beside how errors rise; of a convolution of 3 x 3 x 512 inputs 118 tell.
        """
        groups, rows, cols = self.problem.original.shape
        few = min(max(int(EFFORT / (2 * groups * cols**2)), FEWEST_ROWS), rows)
        index = np.linspace(0, rows - 1, few).astype(np.intp)
        original, target = (values[:, index] for values in (self.problem.original, self.problem.target))
        return replace(self, problem=replace(self.problem, original=original, target=target)), index

    @property
    def _energy(self) -> float:
        return output_energy(self.problem.original, self.plain, self.problem.threads) or 1.0

    def _lost(self, weight: Array, metric: Work) -> float:
        return output_energy(weight - self.problem.original, metric, self.problem.threads)


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """One layer on the original's inputs, pruned more and more."""

    layer: Layer
    errors: Array  # (levels,)  E‖W y − Ŵ y‖² / E‖W y‖² on samples that Ŵ has not seen, in the damped metric, at LEVELS
    weight: Float32  # (g, r, c)  Ŵ at the level of reference, in the rows that were solved
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
    reference: int = MILD,
) -> list[ErrorCurve]:
    """The curve of every layer, in topological order; `batched` is the model for `batch_size` samples at once, not consumed."""
    curves: dict[str, ErrorCurve] = {}
    for posed in pose_halves(batched, layers, samples, options):
        curves[posed.layer.name] = _curve(posed, reference)
        progress(len(curves), len(layers), posed.layer.name)
    return [curves[layer.name] for layer in layers]


def pose_halves(
    batched: ov.Model, layers: Sequence[Layer], samples: SampleSource, options: EngineOptions
) -> Iterator[JudgedProblem]:
    """Every layer as one half of the samples poses it, with what the other half has to say; `batched` is not consumed."""
    tasks = {task.layer.name: task for task in make_tasks(batched, [(layer, ()) for layer in layers])}
    statistics = StatisticsPass(batched.clone(), list(tasks.values()), samples, options)
    for layer, seen in statistics.collect():
        damping = damping_of(pool_noise(seen.outputs.values()), statistics.position(layer).depth, options.last_damping)
        weight, taps, halves = tasks[layer.name].weight, layer.geometry.taps, pool_halves(seen.outputs.values())
        for half in halves:
            check_finite_moments(layer, half)
        known, unseen = (prior(half, damping, weight, taps).added_to(half, statistics.threads) for half in halves)
        problem = LayerProblem(layer.name, weight, known, weight, taps=taps, threads=statistics.threads)
        yield JudgedProblem(layer, problem, unseen, halves[1])


def _curve(posed: JudgedProblem, reference: int) -> ErrorCurve:
    part, rows = posed.some_rows()
    solved = list(prune_gradually(part.problem, LEVELS, tolerance=COARSE))
    weight = posed.problem.original.copy()
    weight[:, rows] = solved[reference]
    return ErrorCurve(posed.layer, part.errors(solved), weight.astype(np.float32), posed.plain_error(weight))
