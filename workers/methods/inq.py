"""Incremental network quantisation: Zhou, Yao, Guo, Xu, Chen, "Incremental Network Quantization: Towards Lossless CNNs with
Low-Precision Weights" (ICLR 2017).

Weights become zero or powers of two. The paper freezes a growing portion of them and retrains the rest with labels; here the
rest is re-solved in closed form after every portion.
"""

from math import floor, log2
from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask, Method
from workers.methods.solvers.column_pass import coordinate_descent, descend, nearest
from workers.methods.solvers.least_squares import re_solve
from workers.methods.solvers.portions import Portions

# Accumulated portions of the paper: ResNet-18 at 5, 4, 3 and 2 bits
PORTIONS = {
    5: (0.5, 0.75, 0.875, 1.0),
    4: (0.3, 0.5, 0.8, 0.9, 0.95, 1.0),
    3: (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0),
    2: (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 1.0),
}
SHIFTS = 4  # codebooks that are tried


class Inq(Method):
    """Zero or ±2ⁿ, frozen portion by portion while the free weights are re-solved (Zhou et al. 2017)."""

    method: Literal["inq"] = "inq"
    bits: Literal[2, 3, 4, 5] = Field(
        default=5, description="One bit stands for zero, the others for the ±2ⁿ: 2^(bits-1) + 1 levels."
    )
    portions: Portions | None = Field(
        default=None, description="Accumulated shares of frozen weights, rising to 1; the paper's for `bits` when absent."
    )
    exponents: Literal["largest", "fitted"] = Field(
        default="fitted",
        description="Read the largest exponent off the largest weight, as the paper does, or choose the one up to "
        "three below that serves the layer's outputs best.",
    )
    partition: Literal["magnitude", "random"] = Field(default="magnitude", description="Which weights are frozen first.")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Freeze by portions, then let no single weight of the result be better on another level."""
        levels = self._levels(problem)
        choose = nearest(levels, problem.support)
        free = np.ones(problem.target.shape, np.bool_) if problem.support is None else problem.support.copy()
        weight = np.where(free, problem.target, 0.0)
        order = rng.permutation(weight.size) if self.partition == "random" else None
        for portion in self.portions or PORTIONS[self.bits]:
            frozen = portion_to_freeze(weight, ~free, portion, order)
            fresh = frozen & free
            weight = np.where(fresh, round_to(levels, weight), weight)
            free &= ~fresh
            weight = re_solve(problem, free, weight)
        best = min(descend(problem, weight, choose), coordinate_descent(problem, choose), key=problem.error)
        return LayerSolution(best, statistics=_exponents(levels))

    def _levels(self, problem: LayerProblem) -> Array:
        """The codebook: that of the largest weight, or the best of it and its shifts down by up to three exponents."""
        largest = float(np.abs(problem.original).max())
        books = [powers_of_two(largest / 2**shift, self.bits) for shift in range(SHIFTS if self.exponents == "fitted" else 1)]
        if len(books) == 1:
            return books[0]
        return min(books, key=lambda levels: problem.error(coordinate_descent(problem, nearest(levels, problem.support))))


def powers_of_two(largest: float, bits: int) -> Array:
    """The codebook {0, ±2^n2 … ±2^n1} for a layer with max|W| = `largest`, sorted (section 2.1, Eq. 2-3)."""
    if largest == 0:
        return np.zeros(1)
    n1 = floor(log2(4 * largest / 3))
    n2 = n1 + 1 - 2 ** (bits - 2)
    positive = 2.0 ** np.arange(n2, n1 + 1)
    return np.concatenate([-positive[::-1], [0.0], positive])


def _exponents(levels: Array) -> dict[str, float]:
    """n1 and n2, of a layer that has any but the level zero."""
    positive = levels[levels > 0]
    return {"n1": log2(positive[-1]), "n2": log2(positive[0])} if positive.size else {}


def round_to(levels: Array, values: Array) -> Array:
    """The nearest level: the paper's rule (Eq. 4), whose thresholds are the arithmetic middles."""
    rounded: Array = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]
    return rounded


def portion_to_freeze(weight: Array, frozen: Mask, portion: float, order: np.ndarray | None) -> Mask:
    """The `portion` of all entries to be frozen: those that are, and next the largest, or the first in a random order."""
    rank = np.abs(weight).ravel() if order is None else np.empty(weight.size)
    if order is not None:
        rank[order] = -np.arange(weight.size)
    rank = np.where(frozen.ravel(), np.inf, rank)
    chosen = np.zeros(weight.size, np.bool_)
    chosen[np.argsort(-rank, kind="stable")[: round(portion * weight.size)]] = True
    return chosen.reshape(weight.shape)
