"""Uniform quantisation: integers times one step per output channel or group of columns. The strong baseline."""

from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, LayerProblem, LayerSolution, Method, single
from workers.methods.solvers.column_pass import coordinate_descent, on_multiples

SHRINKS = np.linspace(1.0, 0.4, 31)  # candidate ranges, as shares of the largest weight


class Uniform(Method):
    """A symmetric grid of `bits` bits, chosen column by column in the order of GPTQ, then settled by coordinate descent."""

    method: Literal["uniform"] = "uniform"
    bits: int = Field(default=4, ge=2, le=8, description="Integers from -2^(bits-1) + 1 to 2^(bits-1) - 1.")
    group_size: int | None = Field(default=None, ge=2, description="Columns that share a step; all of a channel when absent.")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Fit the steps to the original weights, then choose the integers against the layer's outputs."""
        reach = 2 ** (self.bits - 1) - 1
        step = self._steps(problem, reach)
        return LayerSolution(coordinate_descent(problem, on_multiples(step, reach, problem.support)), step)

    def _steps(self, problem: LayerProblem, reach: int) -> Array:
        """One step per channel or group, (g, r, c): the range that loses least in the diagonal metric of H."""
        weight = problem.original
        importance = np.einsum("gcc->gc", problem.hessian)[:, None, :]
        size = self.group_size or weight.shape[2]
        steps = np.empty_like(weight)
        for start in range(0, weight.shape[2], size):
            span = slice(start, start + size)
            steps[:, :, span] = _fitted_step(weight[:, :, span], importance[:, :, span], reach)
        return steps


def _fitted_step(weight: Array, importance: Array, reach: int) -> Array:
    """The step (g, r, 1) that minimises Σ H_jj (w − rounded w)²; positive, also for a channel of zeros."""
    largest = np.abs(weight).max(axis=2, keepdims=True)
    largest = np.where(largest > 0, largest, 1.0)
    candidates = single(SHRINKS[:, None, None, None] * largest / reach)  # (k, g, r, 1)
    rounded = candidates * np.clip(np.rint(weight / candidates), -reach, reach)
    losses = np.sum(importance * (weight - rounded) ** 2, axis=3, keepdims=True)
    best: Array = np.take_along_axis(candidates, losses.argmin(axis=0)[None], axis=0)[0]
    return best
