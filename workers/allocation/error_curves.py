"""How the error of every layer rises with its sparsity: statistics are captured once, and every layer is solved at all levels.

Layers are posed on the original's inputs, so that one forward pass of the original serves all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from workers.engine.collect import StatisticsPass
from workers.engine.layer import make_tasks
from workers.engine.moments import LayerMoments, pool
from workers.engine.sample_schedule import SampleSource
from workers.engine.solver import EngineOptions, pose
from workers.ir.graph.layers import Layer
from workers.methods.layerwise_pruning import prune_gradually
from workers.methods.problem import Array

LEVELS = (0.2, 0.35, 0.5, 0.6, 0.68, 0.75, 0.8, 0.85, 0.89, 0.92, 0.95, 0.97, 0.98)  # of sparsity; errors rise steeply
REFERENCE = 5  # of LEVELS: where one layer's effect on the model's outputs is measured

SMALLEST = 1e-6  # relative error that counts


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """One layer on the original's inputs, pruned more and more."""

    layer: Layer
    errors: Array  # (levels,)  E‖z − Ŵ x‖² / E‖z‖² about the means, at LEVELS
    weight: Array  # (g, r, c)  Ŵ at LEVELS[REFERENCE]

    def errors_at(self, levels: Array) -> Array:
        """The error at other levels (n,), interpolated in its logarithm; none at 0, and next to none shortly after."""
        known = np.log(np.maximum(self.errors, SMALLEST))
        errors = np.exp(np.interp(levels, (0.0, *LEVELS), (min(np.log(SMALLEST), known[0]), *known)))
        return np.where(levels > 0, errors, 0.0)


def error_curves(
    batched: ov.Model, layers: Sequence[Layer], samples: SampleSource, *, batch_size: int, seed: int, threads: int
) -> list[ErrorCurve]:
    """The curve of every layer, in topological order; `batched` is the model for `batch_size` samples at once, not consumed."""
    tasks = make_tasks(batched, [(layer, ()) for layer in layers])
    weights = {task.layer.name: task.weight for task in tasks}
    statistics = StatisticsPass(batched.clone(), tasks, samples, EngineOptions(batch_size, seed, threads))
    return [_curve(layer, weights[layer.name], pool(list(seen.outputs.values()))) for layer, seen in statistics.collect()]


def _curve(layer: Layer, weight: Array, moments: LayerMoments) -> ErrorCurve:
    solved = list(prune_gradually(pose(layer, weight, moments), LEVELS))
    errors = np.array([moments.error(pruned) for pruned in solved])
    return ErrorCurve(layer, errors / (moments.energy or 1.0), solved[REFERENCE])
