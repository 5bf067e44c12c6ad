"""The one way a layer is solved: from its statistics to a posed problem, through its methods, to weights and biases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov

from workers.engine.damping import DAMPING, damping_of, prior
from workers.engine.layer import LayerResult, LayerTask
from workers.engine.moments import ImpliedOutputs, LayerMoments, OutputMoments, Outputs, in_metric, pool
from workers.engine.normal_equations import solve_normal_equations
from workers.errors import NonFiniteData
from workers.ir.graph.edit import ensure_bias, read_bias, write_bias, write_weight
from workers.ir.graph.layers import Layer, nodes_by_name
from workers.methods.problem import Array, LayerProblem, Work
from workers.randomness import Stream, generator
from workers.threads import ALONE, Threads

MOST_RESTORED = 1.2  # times the weights, at the most: what a layer has lost for good, no scale gives back


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine runs; `last_damping` and `stored` are of the model and its samples, the rest is of the job."""

    batch_size: int  # samples at once
    seed: int
    threads: int
    last_damping: float = DAMPING  # the least of H in the last layers
    stored: type[np.float32] | type[np.float16] = np.float32  # the type in which the model keeps its weights


@dataclass(frozen=True, slots=True)
class Position:
    """Where a layer stands among those that are solved."""

    phase: int
    number: int  # in the order of phases
    count: int

    @property
    def depth(self) -> float:
        """0 for the first layer, 1 for the last."""
        return self.number / max(self.count - 1, 1)


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What was seen of one layer."""

    outputs: Outputs
    samples: int  # that they were taken from


def pose(
    layer: Layer,
    original: Array,
    moments: LayerMoments,
    damping: float = DAMPING,
    propagation: float = 1.0,
    threads: Threads = ALONE,
) -> LayerProblem:
    """The problem of `layer` with weights `original` (g, r, c), damped towards them.

    Its target lies between W y, what these weights make of the inputs that the layer gets, and the original's outputs,
    `propagation` of the way (Arai and Ichikawa 2025, "Quantization Error Propagation").
    """
    taps = layer.geometry.taps
    added = prior(moments.covariance, damping, original, taps)
    hessian = added.added_to(moments.covariance, threads)
    own = in_metric(original, moments.covariance, threads) if propagation < 1 else 0.0
    cross = propagation * moments.cross + (1 - propagation) * own
    target = solve_normal_equations(hessian, cross + added.pull(original, threads), threads)
    return LayerProblem(layer.name, target, hessian, original, taps=taps, threads=threads)


def pose_task(
    task: LayerTask, moments: LayerMoments, position: Position, options: EngineOptions, threads: Threads = ALONE
) -> LayerProblem:
    """The problem of a task, damped as its statistics and its depth ask for.

    A target that makes up for all that was lost before is raised to what the original's outputs vary by; of the others the
    weights are, once they are known.
    """
    check_finite_moments(task.layer, moments.covariance)
    damping = damping_of(moments.noise, position.depth, options.last_damping)
    problem = pose(task.layer, task.weight, beside_others(task, moments, threads), damping, task.propagation, threads)
    target = restored(problem.target, moments, threads) if task.propagation == 1 else problem.target
    return replace(problem, target=target, support=task.support)


def beside_others(task: LayerTask, moments: LayerMoments, threads: Threads = ALONE) -> LayerMoments:
    """The moments of a layer, and what those operations ask for that read its constant otherwise: rows that are looked up.

    What they read is off by as much as the weights W themselves. So each counts as ‖W − Ŵ‖² / ‖W‖² beside the relative error of
    the layer's outputs, E‖(W − Ŵ) y‖² / E‖W y‖²: a ridge of H.
    """
    if not task.layer.others:
        return moments
    groups, _, cols = task.weight.shape
    image = in_metric(task.weight, moments.covariance, threads)
    share = len(task.layer.others) / len(task.layer.nodes)
    level = share * float(np.sum(image * task.weight)) / max(float(np.sum(task.weight**2)), np.finfo(float).tiny)
    ridge = np.broadcast_to(level * np.eye(cols, dtype=moments.covariance.dtype), (groups, cols, cols))
    return replace(moments, covariance=moments.covariance + ridge, cross=moments.cross + level * task.weight)


def check_finite_moments(layer: Layer, covariance: Work) -> None:
    """Raise NonFiniteData where sums of squares (g, c, c) of what a layer reads are beyond the largest number."""
    if not np.isfinite(np.einsum("gcc->gc", covariance)).all():
        raise NonFiniteData(
            f"What layer {layer.name!r} reads is so large on these samples that no float holds its squares.",
            hint="Scale the samples as the model expects them.",
        )


def restored(weight: Array, moments: LayerMoments, threads: Threads = ALONE) -> Array:
    """`weight` (g, r, c) with every row scaled, by MOST_RESTORED at the most, until its outputs vary as much as the original's.

    Least squares leaves out of an output what it cannot explain, so that the outputs vary less with every layer; the network
    then answers more timidly than the original (REPAIR, Jordan et al. 2023, does this for merged networks).
    """
    spread = np.einsum("grc,grc->gr", in_metric(weight, moments.covariance, threads), weight)
    variance = np.maximum(moments.variance, 0)  # rounded, it may lie below
    factor = np.sqrt(np.divide(variance, spread, out=np.ones_like(variance), where=spread > 0))
    return np.asarray(weight * np.clip(factor, 1 / MOST_RESTORED, MOST_RESTORED)[..., None])


class LayerSolver:
    """Solves the layers of `model`, and writes them and the biases that absorb their means back into it."""

    def __init__(self, model: ov.Model, layers: Sequence[Layer], options: EngineOptions) -> None:
        """`model` gets biases where it has none."""
        self._model, self._options, self._threads = model, options, Threads(options.threads)
        self._biases = ensure_bias(model, layers)
        self._before = {node: read_bias(model, bias) for node, bias in self._biases.items()}

    def solve(self, task: LayerTask, seen: LayerStatistics, position: Position) -> LayerResult:
        """The layer of a task, solved by its methods one after another."""
        moments = pool(seen.outputs.values())
        problem = pose_task(task, moments, position, self._options, self._threads)
        rng = generator(self._options.seed, Stream.SOLVING, position.phase, position.number)
        statistics = dict(task.earlier.statistics) if task.earlier else {}
        for method in task.methods:
            solution = method.solve(problem, rng)
            problem = replace(problem, original=solution.weight, support=solution.weight != 0)
            statistics |= solution.statistics
        chosen = restored(solution.weight, moments, self._threads) if solution.free else solution.weight
        kind = self._options.stored if solution.scale is None and _fits(chosen, self._options.stored) else np.float32
        weight = chosen.astype(kind).astype(np.float64) + 0.0  # no negative zeros
        solved = LayerResult(
            layer=task.layer,
            steps=task.steps,
            original=task.original,
            weight=weight.astype(np.float32),
            scale=solution.scale,
            biases={},
            relative_error=0.0,
            samples=seen.samples,
            statistics=statistics,
            channels=task.earlier.channels if task.earlier else None,
        )
        return self.judged(solved, seen.outputs, moments)

    def judged(self, solved: LayerResult, outputs: Outputs, moments: LayerMoments | None = None) -> LayerResult:
        """A solved layer with the biases and errors that follow from its statistics; `moments` are those pooled."""
        moments = moments or pool(outputs.values())
        weight, original = solved.weight.astype(np.float64), solved.original.astype(np.float64)
        image = in_metric(weight, moments.covariance, self._threads)
        return replace(
            solved,
            biases={node: self._bias(node, weight, moment) for node, moment in outputs.items()},
            relative_error=moments.error(weight, image) / moments.energy if moments.energy else 0.0,
            own_error=self._own_error(original, weight, image, moments) if original.shape == weight.shape else None,
        )

    def _own_error(self, original: Array, weight: Array, image: Array, moments: LayerMoments) -> float:
        """E‖(W − Ŵ) y‖² / E‖W y‖² about the means, for weights W and Ŵ (g, r, c) with the `image` Ŵ H."""
        known = in_metric(original, moments.covariance, self._threads)
        whole = float(np.sum(known * original))
        return max(float(np.sum((known - image) * (original - weight))), 0.0) / whole if whole else 0.0

    def write(self, result: LayerResult, *others: ov.Model) -> None:
        """Write a result into the model, and into `others` with the same names."""
        for model in (self._model, *others):
            write_weight(model, result.layer, result.weight)
            present = nodes_by_name(model)
            for node, vector in result.biases.items():
                if self._biases[node].add in present:
                    write_bias(model, self._biases[node], vector)

    def _bias(self, node: str, weight: Array, seen: OutputMoments | ImpliedOutputs) -> Array:
        """b + E[z] − Ŵ E[y], (channels,): the bias absorbs the means."""
        shift = seen.mean - np.einsum("grc,gc->gr", weight, seen.inputs.mean)
        return np.asarray(self._before[node] + shift.reshape(-1), np.float64)


def _fits(weight: Array, kind: type[np.float32] | type[np.float16]) -> bool:
    """Whether no weight is beyond the largest number of a type: half precision ends at 65,504."""
    return bool(np.abs(weight).max(initial=0) <= np.finfo(kind).max)
