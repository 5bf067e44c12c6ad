"""Entropy-constrained trained ternarisation: Marban, Becking, Wiedemann, Samek, "Learning Sparse & Ternary Neural Networks
with Entropy-Constrained Trained Ternarization (EC2T)" (CVPRW 2020).

An assignment costs its squared distance and, times λ, its information content, so that rare values must earn their place.
The paper trains centroids and weights with labels; here the assignment is chosen by coordinate descent in the metric of H
and the centroids are fitted in closed form.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, Family, Indices, LayerProblem, LayerSolution, Method, half
from workers.methods.solvers.clusters import RowLevels, channel_scale, ternary_levels
from workers.methods.solvers.column_pass import Choose, apply, descend, nearest, taken, within
from workers.methods.solvers.sensitive_layers import SensitiveAllocation, SensitiveBits, SensitiveShare, with_sensitive_layers

LEAST_ZEROS = 0.5  # P_0 counts as at least this, as in the released code
SIZE_OFFSET = 0.05  # σ of Eq. 8


class Ec2t(Method):
    """Two centroids and zero, assigned at a price for information (Marban et al. 2020)."""

    family: ClassVar[Family | None] = "priced_ternary"
    unshared: ClassVar[str] = "size"
    effort: ClassVar[float] = 2.0

    method: Literal["ec2t"] = "ec2t"
    gamma: float = Field(default=0.05, ge=0, le=1, description="Share of the largest useful λ; more gives more zeros.")
    initial_scale: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Start the centroids at this share of the largest weight on their side, as the paper does; "
        "at the means beyond the thresholds of ternary weight networks when absent.",
    )
    sensitive_bits: SensitiveBits = 5
    sensitive_share: SensitiveShare = 0.1
    allocation: SensitiveAllocation = "optimal"
    keep_ends: bool = Field(default=False, description="Leave the first and the last layer as they are, as the paper does.")
    rounds: int = Field(default=12, ge=1, le=100, description="Turns of choosing the assignment and fitting the centroids.")

    @property
    def expected_bits(self) -> float:
        """Three values."""
        return 2.0

    @property
    def expected_channel_bits(self) -> float:
        """Two values."""
        return 32.0

    def reaches(self, number: int, count: int) -> bool:
        """All layers but the first and the last, unless these are asked for."""
        return not self.keep_ends or 0 < number < count - 1

    def expected_bits_of(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, float]:
        """More than two where layers are on a finer grid."""
        return {name: step.expected_bits for name, step in self.allocate(sizes, read).items()}

    @property
    def measures(self) -> bool:
        """Which layers are sensitive, unless a rule says so."""
        return self.allocation == "optimal" and self.sensitive_bits is not None

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Every layer that it reaches, its γ times the δ of its size (Eq. 7-8), sensitive ones on a finer grid."""
        names = [name for number, name in enumerate(sizes) if self.reaches(number, len(sizes))]
        largest = max((sizes[name] for name in names), default=1)
        priced = {name: self.model_copy(update={"gamma": self.gamma * size_factor(sizes[name], largest)}) for name in names}
        return with_sensitive_layers(priced, self.sensitive_bits, self.sensitive_share, self.allocation, sizes, read)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Assign and fit in turn."""
        scale = channel_scale(problem.original)
        unit = problem.in_units_of(scale)
        book = RowLevels(half(self._initial_levels(unit.original) * scale))
        weight = apply(nearest(book.table, problem.support), problem.target)
        for _ in range(self.rounds):
            price = self._price(unit, book.table / scale) * scale**2
            assigned = descend(problem, weight, self._choose(problem, book.table, price), sweeps=1)
            settled = np.array_equal(assigned, weight)
            member = side_of(assigned)
            book = book.fitted(problem, member)
            weight = taken(book.table, member)
            if settled:
                break
        return LayerSolution(weight, statistics=storage(weight))

    def _initial_levels(self, unit: Array) -> Array:
        """Below, at and above zero, (3,), of weights in units of their row's size."""
        if self.initial_scale is None:
            return ternary_levels(unit)
        return np.array([min(self.initial_scale * unit.min(), 0.0), 0.0, max(self.initial_scale * unit.max(), 0.0)])

    def _price(self, unit: LayerProblem, table: Array) -> Array:
        """−λ h̄ log₂ P_c (3,) of Eq. 5, h̄ the mean of H_jj and P_c by nearest neighbours, relative to the size of a row."""
        share = level_probabilities(side_of(apply(nearest(table, unit.support), unit.target)))
        curvature = float(np.einsum("gcc->gc", unit.hessian).mean())
        return -self.gamma * curvature * largest_price(unit.original, table.mean(axis=(0, 1)), share) * np.log2(share)

    def _choose(self, problem: LayerProblem, table: Array, price: Array) -> Choose:
        """The level of least cost H_jj (v − w_c)² and its price (g, r, 3)."""
        curvature = np.einsum("gcc->gc", problem.hessian)

        def choose(values: Array, column: int) -> Array:
            cost = curvature[:, column, None, None] * (values[:, :, None] - table) ** 2 + price
            return taken(table, cost.argmin(axis=2))

        return within(problem.support, choose)


def side_of(weight: Array) -> Indices:
    """0 below, 1 at and 2 above zero."""
    return np.sign(weight).astype(np.intp) + 1


def size_factor(size: int, largest: int) -> float:
    """δ of a layer with `size` weights where the largest has `largest`: small layers pay less (Eq. 8)."""
    return (size / largest + SIZE_OFFSET) / (1 + SIZE_OFFSET)


def level_probabilities(member: Indices) -> Array:
    """The shares (3,) of the sides, with at least `LEAST_ZEROS` for zero and none at nought; they sum to one."""
    share = (np.bincount(member.ravel(), minlength=3) + 1.0) / (member.size + 3.0)
    if share[1] < LEAST_ZEROS:
        share *= (1 - LEAST_ZEROS) / (share[0] + share[2])
        share[1] = LEAST_ZEROS
    return np.asarray(share, np.float64)


def largest_price(weight: Array, levels: Array, share: Array) -> float:
    """λ_max: the least price at which even the outermost weight of a side would be zero (Eq. 9-10); 0 without a side.

    `levels` and `share` (3,) are those below, at and above zero.
    """
    prices = []
    for side, outermost in ((0, float(weight.min())), (2, float(weight.max()))):
        gain = outermost**2 - (outermost - float(levels[side])) ** 2
        if levels[side] != 0 and share[1] > share[side] and gain > 0:
            prices.append(gain / (np.log2(share[1]) - np.log2(share[side])))
    return min(prices, default=0.0)


def storage(weight: Array) -> dict[str, float]:
    """The paper's accounting of a ternary layer in bits per weight: its rate, what each format takes, and the least of them.

    Two masks: which weights are not zero, and the sign of those. CSR: a column and a sign for each, a pointer for each row.
    CER: a column for each, two pointers for each row. Two centroids of 16 bits for every row stand beside each.
    """
    rows = weight.shape[0] * weight.shape[1]
    used = np.count_nonzero(weight)
    share = np.bincount(side_of(weight).ravel(), minlength=3) / weight.size
    share = share[share > 0]
    centroids = 2 * 16 * rows
    formats = {
        "mask_bits": weight.size + used + centroids,
        "csr_bits": used * (16 + 1) + (rows + 1) * 16 + centroids,
        "cer_bits": used * 16 + 2 * (rows + 1) * 16 + centroids,
    }
    each = {name: bits / weight.size for name, bits in formats.items()}
    return {"rate_bits": float(-np.sum(share * np.log2(share))), **each, "bits": min(each.values())}
