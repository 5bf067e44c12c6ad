"""Single-level network quantisation: Xu, Wang, Zhou, Lin, Xiong, "Deep Neural Network Compression with Single and Multiple
Level Quantization" (AAAI 2018), the width level.

Weights share the centroids of a k-means with one cluster at zero. The paper freezes the clusters that lose most first and
retrains the other weights with labels; here they are re-solved in closed form.
"""

from math import floor, log2
from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, LayerProblem, LayerSolution, Method
from workers.methods.solvers.clusters import alternate, k_means
from workers.methods.solvers.least_squares import re_solve
from workers.methods.solvers.portions import Portions

PORTIONS = (0.29, 0.53, 0.76, 0.88, 1.0)  # of the clusters: 5, 9, 13, 15, 17 at 5 bits, the released AlexNet


class Slq(Method):
    """k-means clusters including zero, frozen from the most lossy on while the free weights are re-solved (Xu et al. 2018)."""

    method: Literal["slq"] = "slq"
    bits: int = Field(default=5, ge=2, le=6, description="2^(bits-1) + 1 clusters, one of them at zero.")
    iterations: int = Field(default=10, ge=1, le=1000, description="Iterations of k-means.")
    portions: Portions = Field(default=PORTIONS, description="Accumulated shares of frozen clusters, rising to 1.")
    rounds: int = Field(default=6, ge=0, le=100, description="Turns of choosing clusters and fitting centroids at the end.")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Cluster, freeze, re-solve; then choose clusters and fit centroids in turn."""
        levels = k_means(problem.original, first_levels(problem.original, self.bits), self.iterations)
        return LayerSolution(alternate(problem, levels, self.rounds, start=self._incremental(problem, levels)))

    def _incremental(self, problem: LayerProblem, levels: Array) -> Array:
        """Freeze the clusters portion by portion; the others, with the weights that are free, move on."""
        free = np.ones(problem.target.shape, np.bool_) if problem.support is None else problem.support.copy()
        weight = np.where(free, problem.target, 0.0)
        frozen = np.zeros(levels.size, np.bool_)
        for clusters in self._by_loss(problem.original, levels):
            levels = k_means(weight[free], levels, self.iterations, held=frozen)
            member = np.searchsorted((levels[1:] + levels[:-1]) / 2, weight)
            frozen[clusters] = True
            fresh = free & frozen[member]
            weight = np.where(fresh, levels[member], weight)
            free &= ~fresh
            weight = re_solve(problem, free, weight)
        return weight

    def _by_loss(self, weight: Array, levels: Array) -> list[Array]:
        """Clusters in portions, those that lose most by sharing first, so that the other weights can make up for it."""
        member = np.searchsorted((levels[1:] + levels[:-1]) / 2, weight).ravel()
        loss = np.bincount(member, np.square(weight.ravel() - levels[member]), levels.size)
        ends = np.rint(np.array(self.portions[:-1]) * levels.size).astype(np.intp)
        return np.split(np.argsort(-loss, kind="stable"), ends)


def first_levels(weight: Array, bits: int) -> Array:
    """Zero and powers of two down from max|w|, as in the released code; sorted (2^(bits-1) + 1,)."""
    largest = float(np.abs(weight).max())
    if largest == 0:
        return np.zeros(1)
    positive = 2.0 ** (floor(log2(largest)) - np.arange(2 ** (bits - 2))[::-1])
    return np.concatenate([-positive[::-1], [0.0], positive])
