"""Monte Carlo quantisation: Mordido, Van Keirsbilck, Keller, "Instant Quantization of Neural Networks using Monte Carlo
Methods" (2019).

The magnitudes of a layer are a probability mass, |w| / ‖W‖₁. Of N = K·|W| samples drawn by stratified sampling each weight
gets as many as fall into its interval: an integer, times ‖W‖₁ / N. Needs no data, and time linear in the number of weights.
"""

from collections.abc import Callable, Mapping
from math import floor, log2
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, BitBudget, Family, LayerProblem, LayerSolution, Method, half, single
from workers.methods.solvers.bit_allocation import extra_bits_by_size, quartering
from workers.methods.solvers.grids import fitted_grid

MOST_SAMPLES = 1024.0  # K
GRID_BITS = 5  # that the counts come to with networks of the paper, at K = 1
FEWER = 2  # bits that a layer may have less than the mean
MOST_EXTRA = 4.0  # bits by which the K of a small layer exceeds the mean
ROUNDS = 3  # of calibrated rounding: turns of fitting the steps and choosing the counts


class Mcq(Method):
    """Integers that count the samples hitting each weight (Mordido et al. 2019)."""

    family: ClassVar[Family | None] = "grid"

    method: Literal["mcq"] = "mcq"
    samples_per_weight: float = Field(default=1.0, gt=0, le=MOST_SAMPLES, description="K: samples drawn per weight.")
    allocation: Literal["optimal", "size", "uniform"] = Field(
        default="optimal",
        description="K is the mean: doubled or halved where that harms the model's outputs least, as measured (`optimal`), or "
        "by the sizes of the layers, small ones getting more (`size`); `uniform`: all layers get K.",
    )
    granularity: Literal["layer", "channel"] = Field(
        default="channel", description="What shares one probability mass and one scale; `layer` is the paper's."
    )
    sort_weights: bool = Field(
        default=False, description="Lay the weights out by magnitude, so that small ones are stratified together."
    )
    jitter: Literal["shared", "stratum"] = Field(
        default="shared", description="One random offset for all strata, or one for each."
    )
    rounding: Literal["sampled", "calibrated"] = Field(
        default="sampled",
        description="`sampled` is the paper's; `calibrated` chooses the counts on the same grid against the outputs.",
    )

    @property
    def expected_bits(self) -> float:
        """As measured on networks of the paper, and a bit more each time that K doubles; a layer reports its own."""
        return max(GRID_BITS + log2(self.samples_per_weight), 1.0)

    @property
    def expected_channel_bits(self) -> float:
        """One scale."""
        return 16.0

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """Every layer at its K, so many times the mean as it has more bits."""
        if self.allocation != "size":
            return dict.fromkeys(sizes, self)
        extra = extra_bits_by_size(list(sizes.values()), MOST_EXTRA)
        rates = [min(self.samples_per_weight * 2**each, MOST_SAMPLES) for each in extra]
        return {name: self.model_copy(update={"samples_per_weight": rate}) for name, rate in zip(sizes, rates, strict=True)}

    @property
    def measured_bits(self) -> BitBudget | None:
        """Those of `allocation: optimal`: a bit more doubles K."""
        most = min(GRID_BITS + floor(log2(MOST_SAMPLES / self.samples_per_weight)), GRID_BITS + int(MOST_EXTRA))
        return BitBudget(GRID_BITS, quartering(GRID_BITS - FEWER, most)) if self.allocation == "optimal" else None

    def at_bits(self, bits: int) -> Method:
        """The same at the K that goes with them."""
        return self.model_copy(update={"samples_per_weight": self.samples_per_weight * 2.0 ** (bits - GRID_BITS)})

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Sample the counts; calibrated rounding then settles them in the metric of H."""
        weight = problem.original
        step = self._step(weight)
        counts = self._counts(weight, rng)
        if self.rounding == "calibrated":
            found, step = fitted_grid(
                problem, np.broadcast_to(step, (*weight.shape[:2], 1)), float(np.abs(counts).max()), ROUNDS
            )
            counts = np.rint(found / step)
        largest = int(np.abs(counts).max())
        bits = 2 + int(np.floor(np.log2(largest))) if largest else 1
        return LayerSolution(single(counts * step), step, {"bits": float(bits)})

    def _step(self, weight: Array) -> Array:
        """‖W‖₁ / N, (1, 1, 1) or (g, r, 1); one for a mass of zero."""
        axes = (0, 1, 2) if self.granularity == "layer" else (2,)
        mass = np.abs(weight).sum(axis=axes, keepdims=True)
        step = mass / self._samples(weight.size // mass.size)
        return half(np.where(step > 0, step, 1.0))

    def _samples(self, size: int) -> int:
        """N for `size` weights: K for each, and one at least."""
        return max(round(self.samples_per_weight * size), 1)

    def _counts(self, weight: Array, rng: np.random.Generator) -> Array:
        rows = weight.reshape(1, -1) if self.granularity == "layer" else weight.reshape(-1, weight.shape[2])
        counts = np.stack([self._sample(row, rng) for row in rows])
        return (np.sign(rows) * counts).reshape(weight.shape)

    def _sample(self, row: Array, rng: np.random.Generator) -> Array:
        """Hits of each weight of `row` (n,) among N jittered samples of its cumulative distribution."""
        order = np.argsort(np.abs(row), kind="stable") if self.sort_weights else slice(None)
        mass = np.cumsum(np.abs(row[order]))
        if mass[-1] == 0:
            return np.zeros(row.size)
        total = self._samples(row.size)
        edges = mass / mass[-1] * total  # the intervals, in units of a stratum
        hits = np.diff(self._below(edges, total, rng), prepend=0)
        counts = np.empty(row.size)
        counts[order] = hits
        return counts

    def _below(self, edges: Array, total: int, rng: np.random.Generator) -> Array:
        """How many of the samples i + ξ_i, i = 0 … total - 1, lie below each edge."""
        if self.jitter == "shared":
            return np.asarray(np.clip(np.floor(edges - rng.random()) + 1, 0, total))
        offsets = rng.random(total)
        whole = np.minimum(np.floor(edges), total).astype(np.int64)
        inside = (whole < total) & (edges - whole > offsets[np.minimum(whole, total - 1)])
        return np.asarray(whole + inside, np.float64)
