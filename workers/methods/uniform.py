"""Uniform quantisation: integers times one step per output channel or group of columns. The strong baseline."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, Family, Ladder, LayerProblem, LayerSolution, Method, half
from workers.methods.solvers.column_pass import coordinate_descent, on_multiples
from workers.methods.solvers.grids import fitted_grid

ROUNDS = 3  # turns of fitting the steps and choosing the integers
SHRINKS = np.linspace(1.0, 0.4, 31)  # candidate ranges, as shares of the largest weight


class Uniform(Method):
    """A symmetric grid of `bits` bits, chosen column by column in the order of GPTQ, then settled by coordinate descent."""

    family: ClassVar[Family | None] = "grid"

    method: Literal["uniform"] = "uniform"
    bits: int = Field(default=4, ge=2, le=8, description="Integers from -2^(bits-1) + 1 to 2^(bits-1) - 1.")
    group_size: int | None = Field(default=None, ge=2, description="Columns that share a step; all of a channel when absent.")

    @property
    def expected_bits(self) -> float:
        """The bits of a code."""
        return float(self.bits)

    @property
    def expected_channel_bits(self) -> float:
        """One scale."""
        return 16.0

    def ladder(self, resolution: float) -> Ladder:
        """Fewer and fewer bits."""
        return "bits", (8, 7, 6, 5, 4, 3, 2)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Fit the steps to the original weights, then choose the integers against the layer's outputs."""
        reach = 2 ** (self.bits - 1) - 1
        if self.group_size is None:
            return LayerSolution(
                *fitted_grid(problem, _fitted_step(problem.original, _importance(problem), reach), reach, ROUNDS)
            )
        step = self._steps(problem, self.group_size, reach)
        return LayerSolution(coordinate_descent(problem, on_multiples(step, reach, problem.support)), step)

    def _steps(self, problem: LayerProblem, size: int, reach: int) -> Array:
        """One step per group of `size` columns, (g, r, c): the range that loses least in the diagonal metric of H."""
        weight, importance = problem.original, _importance(problem)
        steps = np.empty_like(weight)
        for start in range(0, weight.shape[2], size):
            span = slice(start, start + size)
            steps[:, :, span] = _fitted_step(weight[:, :, span], importance[:, :, span], reach)
        return steps


def _importance(problem: LayerProblem) -> Array:
    return np.asarray(np.einsum("gcc->gc", problem.hessian)[:, None, :])


def _fitted_step(weight: Array, importance: Array, reach: int) -> Array:
    """The step (g, r, 1) that minimises Σ H_jj (w − rounded w)²; positive, also for a channel of zeros."""
    largest = np.abs(weight).max(axis=2, keepdims=True)
    best = widest = half(np.where(largest > 0, largest, 1.0) / reach)
    least = np.full(largest.shape, np.inf)
    for shrink in SHRINKS:
        step = half(shrink * widest)
        rounded = step * np.clip(np.rint(weight / step), -reach, reach)
        loss = np.sum(importance * (weight - rounded) ** 2, axis=2, keepdims=True)
        best, least = np.where(loss < least, step, best), np.minimum(loss, least)
    return best
