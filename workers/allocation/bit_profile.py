"""What fewer bits in each layer would do to the model's outputs, measured, and the bits that `optimal` makes of it.

As for sparsity (`sensitivity_profile`), the harm of a layer at so many bits is its relative error there, on samples that did
not solve it, times what the outputs lose per unit of that error, from rounding this layer alone. Curves are those of a uniform
grid: how much faster one layer's error falls than another's is a matter of its inputs, hardly of the levels. What a method's
own levels do besides, it says itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import openvino as ov

from workers.allocation.assignment import optimal_bits
from workers.allocation.error_curves import SMALLEST, pose_halves
from workers.allocation.sensitivity_profile import LayerMethods, errors_of_probes, foretold_errors
from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import Layer
from workers.ir.reading.batching import batched
from workers.methods.problem import Array, BitBudget, Method
from workers.methods.solvers.bit_allocation import quartered
from workers.methods.solvers.grids import uniform_grid

BITS = (2, 3, 4, 5)  # at which every layer is solved; beyond, an error falls to a quarter with every bit
REFERENCE = 1  # of BITS: where one layer's effect on the model's outputs is measured


@dataclass(frozen=True, slots=True)
class BitProfile:
    """What the bits of BITS would cost in every layer, on a uniform grid."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]  # weights
    sensitivities: tuple[float, ...]  # error of the outputs per unit of the layer's relative error
    errors: Array  # (layers, BITS)  relative error of the layer, on samples that did not solve it

    @property
    def harms(self) -> Array:
        """Expected relative error of the model's outputs, (layers, BITS)."""
        return np.array(self.sensitivities)[:, None] * self.errors

    def foretold(self, results: Sequence[LayerResult]) -> dict[str, float]:
        """What each layer's new weights alone cost the outputs, by layer name."""
        return foretold_errors(dict(zip(self.names, self.sensitivities, strict=True)), results)

    def bits(self, budget: BitBudget) -> dict[str, int]:
        """The bits that keep to the budget at the least sum of harms, by layer name."""
        levels = sorted(budget.errors)
        harms = np.stack([self._harms_at(bits) * budget.errors[bits] / quartered(bits) for bits in levels], axis=1)
        return dict(zip(self.names, optimal_bits(self.sizes, harms, levels, budget.mean), strict=True))

    def _harms_at(self, bits: int) -> Array:
        """(layers,)"""
        known = min(max(bits, BITS[0]), BITS[-1])
        return np.asarray(self.harms[:, BITS.index(known)] * quartered(bits - known))


def profile_bits(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> BitProfile:
    """Profile `layers` of a model of one sample.

    Costs one pass over all samples, a few solves of every layer, and for every layer a pass over a few samples; `progress`
    counts each layer twice.
    """
    errors, rounded, plain = {}, [], {}
    for posed in pose_halves(batched(model, options.batch_size), layers, samples, options):
        solved = [uniform_grid(posed.problem, bits, rounds=0)[0] for bits in BITS]
        errors[posed.layer.name] = posed.errors(solved)
        rounded.append((posed.layer, solved[REFERENCE].astype(np.float32)))
        plain[posed.layer.name] = posed.plain_error(solved[REFERENCE])
        progress(len(plain), 2 * len(layers), posed.layer.name)
    lost = errors_of_probes(model, rounded, samples, options, progress)
    names, sizes = tuple(layer.name for layer in layers), tuple(layer.size for layer in layers)
    sensitivities = tuple(lost[name] / max(plain[name], SMALLEST) for name in names)
    return BitProfile(names, sizes, sensitivities, np.array([errors[name] for name in names]))


def shared_bits(methods: LayerMethods) -> list[str]:
    """The layers that share bits by what they cost the outputs; none where there is nothing to choose."""
    sharing = [name for name, each in methods.items() if any(_budget(method) for method in each)]
    return sharing if len(sharing) > 1 else []


def assign_bits(methods: LayerMethods, profile: BitProfile) -> LayerMethods:
    """The methods at the bits that the profile gives each layer."""
    wanted = {method: budget for method in chain.from_iterable(methods.values()) if (budget := _budget(method))}
    bits = {method: profile.bits(budget) for method, budget in wanted.items()}
    return {name: tuple(_placed(method, bits.get(method, {}).get(name)) for method in each) for name, each in methods.items()}


def _budget(method: Method) -> BitBudget | None:
    budget = method.measured_bits
    return budget if budget and budget.open else None


def _placed(method: Method, bits: int | None) -> Method:
    return method if bits is None else method.at_bits(bits)
