"""Entropy-constrained trained ternarisation: Marban, Becking, Wiedemann, Samek, "Learning Sparse & Ternary Neural Networks
with Entropy-Constrained Trained Ternarization (EC2T)" (CVPRW 2020).

An assignment costs its squared distance and, times λ, its information content, so that rare values must earn their place.
The paper trains centroids and weights with labels; here the assignment is chosen by coordinate descent in the metric of H
and the centroids are fitted in closed form.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.clusters import refit, ternary_levels
from workers.methods.descent import Choose, descend
from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask, Method

LEAST_ZEROS = 0.5  # P_0 counts as at least this, as in the released code
SIZE_OFFSET = 0.05  # σ of Eq. 8


class Ec2t(Method):
    """Two centroids and zero, assigned at a price for information (Marban et al. 2020)."""

    method: Literal["ec2t"] = "ec2t"
    gamma: float = Field(default=0.15, ge=0, le=1, description="Share of the largest useful λ; more gives more zeros.")
    keep_ends: bool = Field(default=True, description="Leave the first and the last layer as they are, as the paper does.")
    rounds: int = Field(default=12, ge=1, le=100, description="Turns of choosing the assignment and fitting the centroids.")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Assign and fit in turn, from the thresholds of ternary weight networks."""
        levels = ternary_levels(problem.original)
        weight = _nearest(levels, problem.target, problem.support)
        for _ in range(self.rounds):
            choose = self._choose(problem, weight, levels)
            assigned = descend(problem, weight, choose, sweeps=1)
            weight, levels = refit(problem, assigned, np.unique([0.0, *assigned.ravel()]))
        return LayerSolution(weight, statistics=storage(weight))

    def _choose(self, problem: LayerProblem, weight: Array, levels: Array) -> Choose:
        """The level of least cost H_jj (v − w_c)² − λ h̄ log₂ P_c (Eq. 5), h̄ the mean of H_jj."""
        share = probabilities(weight, levels)
        curvature = np.einsum("gcc->gc", problem.hessian)
        price = -self.gamma * largest_price(problem.original, levels, share) * curvature.mean() * np.log2(share)  # (k,)

        def choose(values: Array, column: int) -> Array:
            cost = curvature[:, column, None, None] * (values[:, :, None] - levels) ** 2 + price
            chosen: Array = levels[cost.argmin(axis=2)]
            return chosen if problem.support is None else np.where(problem.support[:, :, column], chosen, 0.0)

        return choose


def size_factor(size: int, largest: int) -> float:
    """δ of a layer with `size` weights where the largest has `largest`: small layers pay less (Eq. 8)."""
    return (size / largest + SIZE_OFFSET) / (1 + SIZE_OFFSET)


def probabilities(weight: Array, levels: Array) -> Array:
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
    """The paper's accounting of a ternary layer, in bits: two masks and two values, CSR, and the smaller of them."""
    size, used = weight.size, np.count_nonzero(weight)
    rows = weight.shape[0] * weight.shape[1]
    masks = size + used + 2 * 16
    csr = used * (16 + 1) + (rows + 1) * 16 + 2 * 16
    counts = np.unique(weight, return_counts=True)[1] / size
    return {"rate_bits": float(-np.sum(counts * np.log2(counts))), "mask_bits": masks, "csr_bits": csr, "bits": min(masks, csr)}


def _nearest(levels: Array, values: Array, support: Mask | None) -> Array:
    chosen: Array = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]
    return chosen if support is None else np.where(support, chosen, 0.0)
