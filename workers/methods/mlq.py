"""Multi-level network quantisation: Xu et al. (AAAI 2018, see slq.py), the depth level.

Three clusters a layer, zero and two centroids of different size. Incremental layer compensation, the paper's retraining of
the layers that are not yet ternary, is what the engine does with every layer it comes to: each is posed on the outputs of
those before it.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, Family, LayerProblem, LayerSolution, Method, half
from workers.methods.solvers.clusters import RowLevels, alternate, channel_scale, k_means, ternary_levels
from workers.methods.solvers.column_pass import coordinate_descent, nearest
from workers.methods.solvers.sensitive_layers import on_fine_grid


class Mlq(Method):
    """Ternary weights with two centroids of different size, layer after layer (Xu et al. 2018)."""

    family: ClassVar[Family | None] = "ternary"
    effort: ClassVar[float] = 4.0
    in_portions: ClassVar[bool] = True

    method: Literal["mlq"] = "mlq"
    sensitive_bits: int | None = Field(
        default=5,
        ge=2,
        le=8,
        description="Mean bits of the first, the last, depthwise and the smallest layers, which three values would ruin; null: "
        "they are ternary.",
    )
    sensitive_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of all weights that the smallest of these layers may hold."
    )
    iterations: int = Field(default=50, ge=1, le=1000, description="Iterations of k-means.")
    rounds: int = Field(default=12, ge=0, le=100, description="Turns of choosing clusters and fitting centroids.")

    @property
    def expected_bits(self) -> float:
        """Three values."""
        return 2.0

    @property
    def expected_channel_bits(self) -> float:
        """Two values."""
        return 32.0

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Sensitive layers on a finer grid, the others ternary."""
        fine = on_fine_grid(self.method, self.sensitive_bits, self.sensitive_share, sizes, read)
        return {**dict.fromkeys(sizes, self), **fine}

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Cluster, then choose clusters and fit centroids in turn."""
        scale = channel_scale(problem.original)
        unit = problem.original / scale
        levels = k_means(unit, ternary_levels(unit), self.iterations)
        book = RowLevels(half(levels * scale))
        weight, _ = alternate(problem, [(coordinate_descent(problem, nearest(book.table, problem.support)), book)], self.rounds)
        return LayerSolution(weight)
