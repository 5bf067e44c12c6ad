"""Entropy-constrained trained ternarisation: Marban, Becking, Wiedemann, Samek, "Learning Sparse & Ternary Neural Networks
with Entropy-Constrained Trained Ternarization (EC2T)" (CVPRW 2020).

An assignment costs its squared distance and, times λ, its information content, so that rare values must earn their place.
The paper trains centroids and weights with labels; here the assignment is chosen by coordinate descent in the metric of H
and the centroids are fitted in closed form.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, LayerProblem, LayerSolution, Method, single
from workers.methods.solvers.clusters import refit, ternary_levels
from workers.methods.solvers.column_pass import Choose, apply, descend, nearest, within

LEAST_ZEROS = 0.5  # P_0 counts as at least this, as in the released code
SIZE_OFFSET = 0.05  # σ of Eq. 8


class Ec2t(Method):
    """Two centroids and zero, assigned at a price for information (Marban et al. 2020)."""

    method: Literal["ec2t"] = "ec2t"
    gamma: float = Field(default=0.05, ge=0, le=1, description="Share of the largest useful λ; more gives more zeros.")
    initial_scale: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Start the centroids at this share of the largest weight on their side, as the paper does; "
        "at the means beyond the thresholds of ternary weight networks when absent.",
    )
    keep_ends: bool = Field(default=True, description="Leave the first and the last layer as they are, as the paper does.")
    rounds: int = Field(default=12, ge=1, le=100, description="Turns of choosing the assignment and fitting the centroids.")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Assign and fit in turn."""
        levels = self._initial_levels(problem.original)
        weight = apply(nearest(levels, problem.support), problem.target)
        for _ in range(self.rounds):
            assigned = descend(problem, weight, self._choose(problem, levels), sweeps=1)
            settled = np.array_equal(assigned, weight)
            weight, levels = refit(problem, assigned)
            if settled:
                break
        return LayerSolution(weight, statistics=storage(weight))

    def _initial_levels(self, weight: Array) -> Array:
        if self.initial_scale is None:
            return ternary_levels(weight)
        return single(
            np.unique(
                [min(self.initial_scale * float(weight.min()), 0.0), 0.0, max(self.initial_scale * float(weight.max()), 0.0)]
            )
        )

    def _choose(self, problem: LayerProblem, levels: Array) -> Choose:
        """The level of least cost H_jj (v − w_c)² − λ h̄ log₂ P_c (Eq. 5), h̄ the mean of H_jj, P_c by nearest neighbours."""
        share = level_probabilities(apply(nearest(levels, problem.support), problem.target), levels)
        curvature = np.einsum("gcc->gc", problem.hessian)
        price = -self.gamma * largest_price(problem.original, levels, share) * curvature.mean() * np.log2(share)  # (k,)

        def choose(values: Array, column: int) -> Array:
            cost = curvature[:, column, None, None] * (values[:, :, None] - levels) ** 2 + price
            chosen: Array = levels[cost.argmin(axis=2)]
            return chosen

        return within(problem.support, choose)


def size_factor(size: int, largest: int) -> float:
    """δ of a layer with `size` weights where the largest has `largest`: small layers pay less (Eq. 8)."""
    return (size / largest + SIZE_OFFSET) / (1 + SIZE_OFFSET)


def level_probabilities(weight: Array, levels: Array) -> Array:
    """The share of every level, with at least `LEAST_ZEROS` for zero and none at nought; sums to one (k,)."""
    count = np.array([np.count_nonzero(weight == level) for level in levels]) + 1.0
    share = count / count.sum()
    zero = levels == 0
    if share[zero].sum() < LEAST_ZEROS and zero.any() and levels.size > 1:
        share[~zero] *= (1 - LEAST_ZEROS) / share[~zero].sum()
        share[zero] = LEAST_ZEROS
    return np.asarray(share)


def largest_price(weight: Array, levels: Array, share: Array) -> float:
    """λ_max: the least price at which even the outermost weight of a side would be zero (Eq. 9-10); 0 without a side."""
    zero = float(share[levels == 0][0])
    prices = []
    for level, part in zip(levels, share, strict=True):
        outermost = float(weight.min() if level < 0 else weight.max())
        gain = outermost**2 - (outermost - level) ** 2
        if level != 0 and zero > part and gain > 0:
            prices.append(gain / (np.log2(zero) - np.log2(part)))
    return min(prices, default=0.0)


def storage(weight: Array) -> dict[str, float]:
    """The paper's accounting of a ternary layer in bits per weight: its rate, what each format takes, and the least of them.

    Two masks: which weights are not zero, and the sign of those. CSR: a column and a sign for each, a pointer for each row.
    CER: a column for each, two pointers for each row. Two centroids of 16 bits stand beside each.
    """
    rows = weight.shape[0] * weight.shape[1]
    used = np.count_nonzero(weight)
    share = np.unique(weight, return_counts=True)[1] / weight.size
    formats = {
        "mask_bits": weight.size + used + 2 * 16,
        "csr_bits": used * (16 + 1) + (rows + 1) * 16 + 2 * 16,
        "cer_bits": used * 16 + 2 * (rows + 1) * 16 + 2 * 16,
    }
    each = {name: bits / weight.size for name, bits in formats.items()}
    return {"rate_bits": float(-np.sum(share * np.log2(share))), **each, "bits": min(each.values())}
