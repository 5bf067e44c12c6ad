"""Incremental network quantisation: Zhou, Yao, Guo, Xu, Chen, "Incremental Network Quantization: Towards Lossless CNNs with
Low-Precision Weights" (ICLR 2017).

Weights become zero or powers of two, with a largest one for every output channel: its scale is a power of two, so that a
weight stays a shift. The paper freezes a growing portion of them and retrains the rest with labels; here the
rest is re-solved in closed form after every portion.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, BitBudget, Family, Ladder, LayerProblem, LayerSolution, Mask, Method
from workers.methods.solvers.bit_allocation import bits_by_size, quartering
from workers.methods.solvers.column_pass import best_row, best_rows, coordinate_descent, descend, nearest, picked
from workers.methods.solvers.grids import importance
from workers.methods.solvers.least_squares import re_solve
from workers.methods.solvers.portions import Portions

# Accumulated portions of the paper: ResNet-18 at 5, 4, 3 and 2 bits
PORTIONS = {
    5: (0.5, 0.75, 0.875, 1.0),
    4: (0.3, 0.5, 0.8, 0.9, 0.95, 1.0),
    3: (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0),
    2: (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 1.0),
}
# The errors of normal weights by the number of powers and by bits: single powers lie no closer for more of them
ERRORS = {1: {2: 0.21, 3: 0.095, 4: 0.041, 5: 0.038}, 2: {2: 0.21, 3: 0.056, 4: 0.021, 5: 0.0073, 6: 0.003}}
EXPONENTS = 4  # largest ones that are tried


class Inq(Method):
    """Zero or ±2ⁿ, frozen portion by portion while the free weights are re-solved (Zhou et al. 2017)."""

    family: ClassVar[Family | None] = "powers"
    effort: ClassVar[float] = 6.0
    in_portions: ClassVar[bool] = True

    method: Literal["inq"] = "inq"
    bits: Literal[2, 3, 4, 5] = Field(
        default=5, description="One bit stands for zero, the others for the ±2ⁿ: 2^(bits-1) + 1 levels."
    )
    allocation: Literal["optimal", "size", "uniform"] = Field(
        default="optimal",
        description="`bits` is the mean: shared so that the model's outputs are harmed least, as measured on samples that did "
        "not solve the layers (`optimal`), or by the sizes of the layers, small ones getting more (`size`); `uniform`: all "
        "layers get `bits`.",
    )
    powers: Literal[1, 2] = Field(
        default=1,
        description="A weight is one power of two, as in the paper, or the sum or difference of two at most: two shifts and "
        "an addition, in as many bits.",
    )
    portions: Portions | None = Field(
        default=None, description="Accumulated shares of frozen weights, rising to 1; the paper's for `bits` when absent."
    )
    exponents: Literal["largest", "fitted"] = Field(
        default="fitted",
        description="Read a channel's largest exponent off its largest weight, as the paper does, or choose the one up to "
        "three below that serves the outputs best.",
    )
    partition: Literal["magnitude", "random"] = Field(default="magnitude", description="Which weights are frozen first.")

    @property
    def expected_bits(self) -> float:
        """The bits of a code."""
        return float(self.bits)

    @property
    def expected_channel_bits(self) -> float:
        """One exponent."""
        return 8.0

    @property
    def frozen_shares(self) -> tuple[float, ...]:
        """Accumulated shares of frozen weights: `portions`, or the paper's; a budget may give a layer more bits than it has."""
        return self.portions or PORTIONS[min(self.bits, max(PORTIONS))]

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Every layer at its bits by size, or at the mean."""
        if self.allocation != "size":
            return dict.fromkeys(sizes, self)
        errors = ERRORS[self.powers]
        bits = bits_by_size(list(sizes.values()), self.bits, min(errors), max(errors), errors.__getitem__)
        return {name: self.model_copy(update={"bits": each}) for name, each in zip(sizes, bits, strict=True)}

    @property
    def measured_bits(self) -> BitBudget | None:
        """Those of `allocation: optimal`; single powers have error curves of their own."""
        if self.allocation != "optimal":
            return None
        return BitBudget(self.bits, quartering(2, 5), "powers") if self.powers == 1 else BitBudget(self.bits, ERRORS[2])

    def at_bits(self, bits: int) -> Method:
        """The same with these."""
        return self.model_copy(update={"bits": bits})

    def ladder(self, resolution: float) -> Ladder:
        """Fewer and fewer bits."""
        return "bits", (5, 4, 3, 2)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Choose the exponents and freeze by portions, then let no single weight of the result be better on another level."""
        levels = unit_levels(self.bits, self.powers)
        settled, scale = self._exponents(problem, levels)
        choose = nearest(levels * scale, problem.support)
        frozen = descend(problem, self._incremental(problem, levels, scale, rng), choose)
        weight = best_rows(problem, [frozen, settled])
        n1, n2 = np.log2(scale), np.log2(levels[levels > 0][0])
        return LayerSolution(weight, scale, {"n1": float(n1.max()), "n2": float(n1.min() + n2)})

    def _exponents(self, problem: LayerProblem, levels: Array) -> tuple[Array, Array]:
        """Settled weights, and the scale 2^n1 (g, r, 1) of every row: of its largest weight, or up to three exponents below."""
        largest = largest_power(np.abs(problem.original).max(axis=2, keepdims=True))
        scales = [largest / 2.0**shift for shift in range(EXPONENTS if self.exponents == "fitted" else 1)]
        weights = [coordinate_descent(problem, nearest(levels * scale, problem.support)) for scale in scales]
        best = best_row(problem, weights)
        return picked(weights, best), picked(scales, best)

    def _incremental(self, problem: LayerProblem, levels: Array, scale: Array, rng: np.random.Generator) -> Array:
        """Freeze a growing portion, the largest of their rows first, and re-solve the others."""
        unit = problem.in_units_of(scale)
        support = np.ones(unit.target.shape, np.bool_) if unit.support is None else unit.support
        free, weight = support.copy(), np.where(support, unit.target, 0.0)
        order = rng.permutation(weight.size) if self.partition == "random" else None
        for portion in self.frozen_shares:
            fresh = portion_to_freeze(weight, support & ~free, support, portion, order) & free
            weight = np.where(fresh, round_to(levels, weight), weight)
            free &= ~fresh
            weight = re_solve(unit, free, weight)
        return weight * scale


def unit_levels(bits: int, powers: int = 1) -> Array:
    """The codebook {0, ±2^(1 − 2^(bits−2)) … ±1} of a row, over its largest power; sorted.

    With two powers, all sums and differences of two of the bits − 1 largest: at 4 bits 0, ±¼, ±½, ±¾, ±1, ±1¼, ±1½. They are
    codes of so many bits too, and lie closer (Li, Dong, Wang, "Additive Powers-of-Two Quantization", ICLR 2020).
    """
    if powers == 1:
        single = 2.0 ** np.arange(1 - 2 ** (bits - 2), 1)
        return np.concatenate([-single[::-1], [0.0], single])
    terms = np.concatenate([[0.0], 2.0 ** -np.arange(bits - 1.0)])
    sums = [sign * a + other * b for a, b in combinations(terms, 2) for sign in (1, -1) for other in (1, -1)]
    return np.unique([0.0, *sums])


def on_powers(problem: LayerProblem, bits: int) -> Array:
    """Weights (g, r, c) at so many bits without portions, exponents by the diagonal of H: for error curves."""
    levels, weight = unit_levels(bits), problem.original
    largest = largest_power(np.abs(weight).max(axis=2, keepdims=True))
    scales = [largest / 2.0**shift for shift in range(EXPONENTS)]
    lost = [importance(problem) * (weight - scale * round_to(levels, weight / scale)) ** 2 for scale in scales]
    scale = picked(scales, np.stack([each.sum(axis=2) for each in lost]).argmin(axis=0))
    return coordinate_descent(problem.in_units_of(scale), nearest(levels)) * scale


def largest_power(largest: Array) -> Array:
    """2^n1, n1 = ⌊log₂(4 max|W| / 3)⌋ (section 2.1, Eq. 2); one for rows of zeros."""
    return np.where(largest > 0, np.exp2(np.floor(np.log2(4 * np.where(largest > 0, largest, 1.0) / 3))), 1.0)


def round_to(levels: Array, values: Array) -> Array:
    """The nearest level: the paper's rule (Eq. 4), whose thresholds are the arithmetic middles."""
    rounded: Array = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]
    return rounded


def portion_to_freeze(weight: Array, frozen: Mask, support: Mask, portion: float, order: np.ndarray | None) -> Mask:
    """The `portion` of the `support` to be frozen: what is, and next the largest weights, or the first in a random order."""
    rank = np.abs(weight).ravel()
    if order is not None:
        rank[order] = np.arange(weight.size, 0, -1)
    rank = np.where(frozen.ravel(), np.inf, np.where(support.ravel(), rank, -np.inf))
    chosen = np.zeros(weight.size, np.bool_)
    chosen[np.argsort(-rank, kind="stable")[: round(portion * np.count_nonzero(support))]] = True
    return chosen.reshape(weight.shape)
