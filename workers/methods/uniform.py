"""Uniform quantisation: integers times one step per output channel or group of columns. The strong baseline."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import Array, BitBudget, Family, Ladder, LayerProblem, LayerSolution, Method
from workers.methods.solvers.bit_allocation import bits_by_size, quartering
from workers.methods.solvers.column_pass import coordinate_descent, on_multiples
from workers.methods.solvers.grids import best_step, importance, uniform_grid


class Uniform(Method):
    """A symmetric grid of `bits` bits, chosen column by column in the order of GPTQ, then settled by coordinate descent."""

    family: ClassVar[Family | None] = "grid"
    stores_tables: ClassVar[bool] = True

    method: Literal["uniform"] = "uniform"
    bits: int = Field(default=4, ge=2, le=8, description="Integers from -2^(bits-1) + 1 to 2^(bits-1) - 1.")
    allocation: Literal["optimal", "size", "uniform"] = Field(
        default="optimal",
        description="`bits` is the mean: shared so that the model's outputs are harmed least, as measured on samples that did "
        "not solve the layers (`optimal`), or by the sizes of the layers, small ones getting more (`size`); `uniform`: all "
        "layers get `bits`.",
    )
    group_size: int | None = Field(default=None, ge=2, description="Columns that share a step; all of a channel when absent.")

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
        bits = bits_by_size(list(sizes.values()), self.bits, 2, 8)
        return {name: self.model_copy(update={"bits": each}) for name, each in zip(sizes, bits, strict=True)}

    @property
    def measured_bits(self) -> BitBudget | None:
        """Those of `allocation: optimal`."""
        return BitBudget(self.bits, quartering(2, 8)) if self.allocation == "optimal" else None

    def at_bits(self, bits: int) -> Method:
        """The same with these."""
        return self.model_copy(update={"bits": bits})

    def ladder(self, resolution: float) -> Ladder:
        """Fewer and fewer bits."""
        return "bits", (8, 7, 6, 5, 4, 3, 2)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Fit the steps to the original weights, then choose the integers against the layer's outputs."""
        if self.group_size is None:
            return LayerSolution(*uniform_grid(problem, self.bits))
        reach = 2 ** (self.bits - 1) - 1
        step = self._steps(problem.original, importance(problem), self.group_size, reach)
        return LayerSolution(coordinate_descent(problem, on_multiples(step, reach, problem.support)), step)

    def store(self, table: Array) -> LayerSolution:
        """Round every row to `bits`, with the step of least error; no sum over columns could make up for it."""
        size, reach = self.group_size or table.shape[2], 2 ** (self.bits - 1) - 1
        step = self._steps(table, np.ones((1, 1, table.shape[2])), size, reach)
        codes = np.clip(np.rint(table / step), -reach, reach)
        return LayerSolution(codes * step, step if self.group_size else step[:, :, :1])

    def _steps(self, weight: Array, curvature: Array, size: int, reach: int) -> Array:
        """One step per group of `size` columns, (g, r, c): the range that loses least in the diagonal metric of H."""
        steps = np.empty_like(weight)
        for start in range(0, weight.shape[2], size):
            span = slice(start, start + size)
            steps[:, :, span] = best_step(weight[:, :, span], curvature[:, :, span], reach)
        return steps
