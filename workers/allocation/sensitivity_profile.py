"""What pruning each layer would do to the model's outputs, measured, and the levels that `allocation: optimal` makes of it.

The harm of a layer at a level is its relative error there, from statistics captured once, times what the outputs lose per unit
of that error, from pruning this layer alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import openvino as ov

from workers.allocation.assignment import GRID, optimal_levels
from workers.allocation.error_curves import REFERENCE, SMALLEST, error_curves
from workers.allocation.sensitivity import output_errors
from workers.calibration import Samples
from workers.ir.graph.layers import Layer
from workers.methods.problem import Array, Method

SAMPLES = 128  # that show how much one layer matters

LayerMethods = Mapping[str, tuple[Method, ...]]  # the methods that solve a layer one after another, by its name


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


def needs_profile(methods: LayerMethods) -> bool:
    """Whether a level of the methods waits for a profile."""
    return any(method.measured_level is not None for method in chain.from_iterable(methods.values()))


def assign_levels(methods: LayerMethods, profile: SensitivityProfile) -> LayerMethods:
    """The methods at the levels that the profile gives each layer; where a layer keeps all its weights, the others alone."""
    wanted = {method.measured_level for method in chain.from_iterable(methods.values())} - {None}
    levels = {sparsity: profile.levels(sparsity) for sparsity in wanted if sparsity is not None}
    return {
        name: tuple(placed for method in each if (placed := _placed(method, name, levels))) for name, each in methods.items()
    }


def _placed(method: Method, name: str, levels: Mapping[float, Mapping[str, float]]) -> Method | None:
    """The method at its level in a layer."""
    return method if method.measured_level is None else method.at_level(levels[method.measured_level][name])
