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
from workers.methods.solvers.sensitive_layers import SensitiveAllocation, SensitiveBits, SensitiveShare, with_sensitive_layers


class Mlq(Method):
    """Ternary weights with two centroids of different size, layer after layer (Xu et al. 2018)."""

    family: ClassVar[Family | None] = "ternary"
    unshared: ClassVar[str] = "size"
    effort: ClassVar[float] = 4.0
    in_portions: ClassVar[bool] = True

    method: Literal["mlq"] = "mlq"
    sensitive_bits: SensitiveBits = 5
    sensitive_share: SensitiveShare = 0.1
    allocation: SensitiveAllocation = "optimal"
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

    def expected_bits_of(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, float]:
        """More than two where layers are on a finer grid."""
        return {name: step.expected_bits for name, step in self.allocate(sizes, read).items()}

    @property
    def measures(self) -> bool:
        """Which layers are sensitive, unless a rule says so."""
        return self.allocation == "optimal" and self.sensitive_bits is not None

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Sensitive layers on a finer grid, the others ternary."""
        ternary = dict.fromkeys(sizes, self)
        return with_sensitive_layers(ternary, self.sensitive_bits, self.sensitive_share, self.allocation, sizes, read)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Cluster, then choose clusters and fit centroids in turn."""
        scale = channel_scale(problem.original)
        unit = problem.original / scale
        levels = k_means(unit, ternary_levels(unit), self.iterations)
        book = RowLevels(half(levels * scale))
        weight, _ = alternate(problem, [(coordinate_descent(problem, nearest(book.table, problem.support)), book)], self.rounds)
        return LayerSolution(weight)
