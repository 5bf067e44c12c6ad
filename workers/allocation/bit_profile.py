"""What fewer bits in each layer would do to the model's outputs, measured, and the bits that `optimal` makes of it.

As for sparsity (`sensitivity_profile`), the harm of a layer at so many bits is its relative error there, on samples that did
not solve it, times what the outputs lose per unit of that error, from rounding this layer alone. Curves are those of a uniform
grid: how much faster one layer's error falls than another's is a matter of its inputs, hardly of the levels. What a method's
own levels do besides, it says itself; powers of two, which lie ever further apart, have curves of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import openvino as ov

from workers.allocation.assignment import optimal_bits
from workers.allocation.error_curves import SMALLEST, pose_halves
from workers.allocation.sensitivity_profile import LayerMethods, foretold_errors, losses_of_probes
from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import Layer
from workers.ir.reading.batching import batched
from workers.methods.inq import on_powers
from workers.methods.problem import Array, BitBudget, LayerProblem, Method
from workers.methods.solvers.bit_allocation import quartered
from workers.methods.solvers.grids import uniform_grid

BITS = (2, 3, 4, 5)  # at which every layer is solved; beyond, an error falls to a quarter with every bit
REFERENCE = 1  # of BITS: where one layer's effect on the model's outputs is measured


@dataclass(frozen=True, slots=True)
class BitProfile:
    """What the bits of BITS would cost in every layer."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]  # weights
    sensitivities: tuple[float, ...]  # error of the outputs per unit of the layer's relative error
    costs: Array  # (layers, BITS)  expected loss of what the outputs decide, by errors on samples that did not solve the layer

    def foretold(self, results: Sequence[LayerResult]) -> dict[str, float]:
        """What each layer's new weights alone cost the outputs, by layer name."""
        return foretold_errors(dict(zip(self.names, self.sensitivities, strict=True)), results)

    def bits(self, budget: BitBudget) -> dict[str, int]:
        """The bits that keep to the budget at the least sum of harms, by layer name."""
        levels = sorted(budget.errors)
        harms = np.stack([self._harms_at(bits, budget) for bits in levels], axis=1)
        return dict(zip(self.names, optimal_bits(self.sizes, harms, levels, budget.mean, budget.finer), strict=True))

    def harm(self, budget: BitBudget) -> float:
        """What these bits cost together."""
        same = min(max(int(budget.mean), min(budget.errors)), max(budget.errors))
        found = self.bits(budget) if budget.open else dict.fromkeys(self.names, same)
        return sum(float(self._harms_at(found[name], budget)[row]) for row, name in enumerate(self.names))

    def _harms_at(self, bits: int, budget: BitBudget) -> Array:
        """(layers,)"""
        known = min(max(bits, BITS[0]), BITS[-1])
        return np.asarray(self.costs[:, BITS.index(known)] * quartered(bits - known) * budget.errors[bits] / quartered(bits))


def profile_bits(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
    rounded: Callable[[LayerProblem, int], Array] = lambda problem, bits: uniform_grid(problem, bits, rounds=0)[0],
) -> BitProfile:
    """Profile `layers` of a model of one sample, on the grid or on other levels that `rounded` puts weights on.

    Costs one pass over all samples, a few solves of every layer, and for every layer a pass over a few samples; `progress`
    counts each layer twice.
    """
    errors, probes, plain = {}, [], {}
    for posed in pose_halves(batched(model, options.batch_size), layers, samples, options):
        solved = [rounded(posed.problem, bits) for bits in BITS]
        errors[posed.layer.name] = posed.errors(solved)
        probes.append((posed.layer, solved[REFERENCE].astype(np.float32)))
        plain[posed.layer.name] = max(posed.plain_error(solved[REFERENCE]), SMALLEST)
        progress(len(plain), 2 * len(layers), posed.layer.name)
    lost = losses_of_probes(model, probes, samples, options, progress)
    names, sizes = tuple(layer.name for layer in layers), tuple(layer.size for layer in layers)
    sensitivities = tuple(lost[name].error / plain[name] for name in names)
    harms = [lost[name].harm / plain[name] * np.array(errors[name]) for name in names]
    return BitProfile(names, sizes, sensitivities, np.array(harms))


def profile_powers(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> BitProfile:
    """The same on powers of two."""
    return profile_bits(model, layers, samples, options, progress, on_powers)


BIT_PROFILERS = {"grid": profile_bits, "powers": profile_powers}  # by the levels of a budget


def shared_bits(methods: LayerMethods, levels: str | None = None) -> list[str]:
    """The layers that share bits by what they cost the outputs, on these levels or on any; none where nothing is to choose."""
    sharing = [name for name, each in methods.items() if any(_budget(method, levels) for method in each)]
    return sharing if len(sharing) > 1 else []


def assign_bits(methods: LayerMethods, profile: BitProfile, levels: str = "grid") -> LayerMethods:
    """The methods with `levels` at the bits that their profile gives each layer."""
    budgets = {method: budget for method in chain.from_iterable(methods.values()) if (budget := _budget(method, levels))}
    bits = {budget: profile.bits(budget) for budget in set(budgets.values())}

    def placed(method: Method, name: str) -> Method:
        found = bits[budgets[method]].get(name) if method in budgets else None
        return method if found is None else method.at_bits(found)

    return {name: tuple(placed(method, name) for method in each) for name, each in methods.items()}


def _budget(method: Method, levels: str | None) -> BitBudget | None:
    budget = method.measured_bits
    return budget if budget and budget.open and levels in (None, budget.levels) else None
