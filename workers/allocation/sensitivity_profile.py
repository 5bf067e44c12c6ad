"""What pruning each layer would do to the model's outputs, measured, and the levels that `allocation: optimal` makes of it.

The harm of a layer at a level is its relative error there, from statistics captured once, times what the outputs lose per unit
of that error, from pruning this layer alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeGuard

import numpy as np
import openvino as ov

from workers.allocation.allocate import GRID, optimal_levels
from workers.allocation.error_curves import REFERENCE, SMALLEST, error_curves
from workers.allocation.sensitivity import output_errors
from workers.calibration import Samples
from workers.ir.graph.layers import Layer
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Array, Method

SAMPLES = 128  # that show how much one layer matters

Sweep = Mapping[str, tuple[Method, ...]]  # the methods that solve a layer one after another, by its name


@dataclass(frozen=True, slots=True)
class SensitivityProfile:
    """What the levels of GRID would cost in every layer."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]  # weights
    sensitivities: tuple[float, ...]  # error of the outputs per unit of the layer's relative error
    harms: Array  # (layers, GRID)  expected relative error of the model's outputs

    def levels(self, sparsity: float) -> dict[str, float]:
        """The levels that reach `sparsity` over all layers at the least sum of harms."""
        return dict(zip(self.names, optimal_levels(self.sizes, self.harms, sparsity), strict=True))


def profile_sensitivities(
    batched: ov.Model, layers: Sequence[Layer], samples: Samples, *, batch_size: int, seed: int, threads: int
) -> SensitivityProfile:
    """Profile `layers`; `batched` is their model for `batch_size` samples at once, not consumed.

    Costs one pass over all samples, one solve of every layer, and for every layer a pass over a few samples.
    """
    curves = error_curves(batched, layers, samples, batch_size=batch_size, seed=seed, threads=threads)
    few = samples.take(range(min(samples.count, SAMPLES)))
    pruned = [(curve.layer, curve.weight) for curve in curves]
    lost = output_errors(batched, pruned, few, batch_size=batch_size, threads=threads)
    sensitivities = [lost[curve.layer.name] / max(float(curve.errors[REFERENCE]), SMALLEST) for curve in curves]
    harms = [factor * curve.errors_at(GRID) for factor, curve in zip(sensitivities, curves, strict=True)]
    return SensitivityProfile(
        tuple(curve.layer.name for curve in curves),
        tuple(curve.layer.size for curve in curves),
        tuple(sensitivities),
        np.array(harms),
    )


def needs_profile(sweep: Sweep) -> bool:
    """Whether a level of the sweep is to be settled by profile."""
    return any(map(_waits, chain.from_iterable(sweep.values())))


def assign_levels(sweep: Sweep, profile: SensitivityProfile) -> Sweep:
    """The sweep with the levels that `allocation: optimal` leaves open."""
    wanted = {step.sparsity_level for step in chain.from_iterable(sweep.values()) if _waits(step)}
    levels = {sparsity: profile.levels(sparsity) for sparsity in wanted}
    return {
        name: tuple(step for step in (_settled(method, name, levels) for method in methods) if step)
        for name, methods in sweep.items()
    }


def _waits(step: Method) -> TypeGuard[LayerwisePruning]:
    return isinstance(step, LayerwisePruning) and step.allocation == "optimal" and step.pattern == "unstructured"


def _settled(step: Method, name: str, levels: Mapping[float, Mapping[str, float]]) -> Method | None:
    """The step at its level; None where the layer keeps all its weights."""
    if not _waits(step):
        return step
    level = levels[step.sparsity_level][name]
    return step.model_copy(update={"sparsity_level": level}) if level > 0 else None
