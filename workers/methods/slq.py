"""Single-level network quantisation: Xu, Wang, Zhou, Lin, Xiong, "Deep Neural Network Compression with Single and Multiple
Level Quantization" (AAAI 2018), the width level.

Weights share the centroids of a k-means with one cluster at zero. The paper freezes the clusters that lose most first and
retrains the other weights with labels; here they are re-solved in closed form.
"""

from collections.abc import Callable, Mapping
from math import floor, log2
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, BitBudget, Family, Ladder, LayerProblem, LayerSolution, Method, half
from workers.methods.solvers.bit_allocation import bits_by_size, quartering
from workers.methods.solvers.clusters import ScaledLevels, alternate, channel_scale, k_means
from workers.methods.solvers.column_pass import coordinate_descent, nearest, places, taken
from workers.methods.solvers.least_squares import re_solve
from workers.methods.solvers.portions import Portions

MOST_BITS = 8  # of a small layer
PORTIONS = (0.29, 0.53, 0.76, 0.88, 1.0)  # of the clusters: 5, 9, 13, 15, 17 at 5 bits, the released AlexNet


class Slq(Method):
    """k-means clusters including zero, frozen from the most lossy on while the free weights are re-solved (Xu et al. 2018)."""

    family: ClassVar[Family | None] = "codebook"
    effort: ClassVar[float] = 4.0
    in_portions: ClassVar[bool] = True

    method: Literal["slq"] = "slq"
    bits: int = Field(default=5, ge=2, le=6, description="2^(bits-1) + 1 clusters, one of them at zero.")
    allocation: Literal["optimal", "size", "uniform"] = Field(
        default="optimal",
        description="`bits` is the mean: shared so that the model's outputs are harmed least, as measured on samples that did "
        "not solve the layers (`optimal`), or by the sizes of the layers, small ones getting more (`size`); `uniform`: all "
        "layers get `bits`.",
    )
    iterations: int = Field(default=10, ge=1, le=1000, description="Iterations of k-means.")
    portions: Portions = Field(default=PORTIONS, description="Accumulated shares of frozen clusters, rising to 1.")
    rounds: int = Field(default=6, ge=0, le=100, description="Turns of choosing clusters and fitting centroids at the end.")

    @property
    def expected_bits(self) -> float:
        """The bits of a code."""
        return float(self.bits)

    @property
    def expected_channel_bits(self) -> float:
        """One scale."""
        return 16.0

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Every layer at its bits by size, or at the mean."""
        if self.allocation != "size":
            return dict.fromkeys(sizes, self)
        bits = bits_by_size(list(sizes.values()), self.bits, 2, MOST_BITS)
        return {name: self.model_copy(update={"bits": each}) for name, each in zip(sizes, bits, strict=True)}

    @property
    def measured_bits(self) -> BitBudget | None:
        """Those of `allocation: optimal`."""
        return BitBudget(self.bits, quartering(2, MOST_BITS)) if self.allocation == "optimal" else None

    def at_bits(self, bits: int) -> Method:
        """The same with these."""
        return self.model_copy(update={"bits": bits})

    def ladder(self, resolution: float) -> Ladder:
        """Fewer and fewer bits."""
        return "bits", (6, 5, 4, 3, 2)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Cluster, freeze, re-solve; then choose clusters and fit scales and centroids in turn."""
        book = self._book(problem)
        shared = coordinate_descent(problem, nearest(book.table, problem.support))
        weight, book = alternate(problem, [(shared, book), self._incremental(problem, book)], self.rounds)
        return LayerSolution(weight, book.scale)

    def _book(self, problem: LayerProblem) -> ScaledLevels:
        """k-means on rows in units of their size or their range, from powers of two or evenly spread: what comes nearest."""
        size = channel_scale(problem.original)
        largest = np.abs(problem.original).max(axis=2, keepdims=True)
        scales = (size, half(np.where(largest > 0, largest, 1.0)))
        books = [self._clustered(problem.original, scale, start) for scale in scales for start in (first_levels, even_levels)]

        def distance(book: ScaledLevels) -> float:
            chosen = taken(book.table, places(book.table, problem.original))
            return float(np.square((problem.original - chosen) / size).sum())

        return min(books, key=distance)

    def _clustered(self, weight: Array, scale: Array, start: Callable[[Array, int], Array]) -> ScaledLevels:
        levels = k_means(weight / scale, start(weight / scale, self.bits), self.iterations)
        return ScaledLevels(half(levels), scale)

    def _incremental(self, problem: LayerProblem, book: ScaledLevels) -> tuple[Array, ScaledLevels]:
        """Freeze the clusters portion by portion; the others, with the weights that are free, move on."""
        unit, levels = problem.in_units_of(book.scale), book.levels
        free = np.ones(unit.target.shape, np.bool_) if problem.support is None else problem.support.copy()
        weight = np.where(free, unit.target, 0.0)
        frozen = np.zeros(levels.size, np.bool_)
        for clusters in self._by_loss(unit.original, levels):
            levels = half(k_means(weight[free], levels, self.iterations, held=frozen))
            member = places(levels, weight)
            frozen[clusters] = True
            fresh = free & frozen[member]
            weight = np.where(fresh, levels[member], weight)
            free &= ~fresh
            weight = re_solve(unit, free, weight)
        return weight * book.scale, ScaledLevels(levels, book.scale)

    def _by_loss(self, weight: Array, levels: Array) -> list[Array]:
        """Clusters in portions, those that lose most by sharing first, so that the other weights can make up for it."""
        member = places(levels, weight).ravel()
        loss = np.bincount(member, np.square(weight.ravel() - levels[member]), levels.size)
        ends = np.rint(np.array(self.portions[:-1]) * levels.size).astype(np.intp)
        return np.split(np.argsort(-loss, kind="stable"), ends)


def even_levels(weight: Array, bits: int) -> Array:
    """Zero and multiples of a step up to max|w|, sorted: of many levels, most powers of two would be without a weight."""
    side = 2 ** (bits - 2)
    return np.linspace(-1.0, 1.0, 2 * side + 1) * float(np.abs(weight).max())


def first_levels(weight: Array, bits: int) -> Array:
    """Zero and powers of two down from max|w|, as in the released code; sorted (2^(bits-1) + 1,)."""
    largest = float(np.abs(weight).max())
    if largest == 0:
        return np.zeros(1)
    positive = 2.0 ** (floor(log2(largest)) - np.arange(2 ** (bits - 2))[::-1])
    return np.concatenate([-positive[::-1], [0.0], positive])
