"""Binary weights: every output channel keeps one magnitude, every weight a sign. The method of `docs/adding-a-method.md`."""

from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.problem import LayerProblem, LayerSolution, Method, half


class Binary(Method):
    """Each weight is ±s, with one s per output channel, flipped one by one while that lowers the error of the layer."""

    method: Literal["binary"] = "binary"
    rounds: int = Field(default=4, ge=0, le=100, description="Passes over the columns in which signs may flip.")

    @property
    def expected_bits(self) -> float:
        """A sign."""
        return 1.0

    @property
    def expected_channel_bits(self) -> float:
        """The magnitude, in half precision."""
        return 16.0

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Signs of the original weights, then coordinate descent: column j changes the error by 2d(E H)_j + d² H_jj."""
        scale = half(np.abs(problem.original).mean(axis=2, keepdims=True))
        weight = np.where(problem.original < 0, -scale, scale)
        if problem.support is not None:
            weight = weight * problem.support  # what an earlier step has pruned stays zero, and a flip of zero changes nothing
        deviation = weight - problem.target
        for _ in range(self.rounds):
            for column in range(weight.shape[2]):
                change = -2 * weight[:, :, column]
                slope = np.einsum("grc,gc->gr", deviation, problem.hessian[:, :, column])
                gain = 2 * change * slope + change**2 * problem.hessian[:, column, column, None]
                flip = np.where(gain < 0, change, 0.0)
                weight[:, :, column] += flip
                deviation[:, :, column] += flip
        return LayerSolution(weight, np.where(scale > 0, scale, 1.0))  # a row of zeros has a scale, too
