"""Layer-wise calibration pruning: Lazarevich, Kozlov, Malinin, "Post-training deep neural network pruning via layer-wise
calibration" (2021).

The paper masks by magnitude and tunes the surviving weights of every layer by Adam against the original layer's output.
That objective is a masked least-squares problem; it is solved here exactly, and the mask is revised as it rises.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.least_squares import masked_least_squares
from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask, Method


class LayerwisePruning(Method):
    """Layer-wise calibration pruning (Lazarevich et al. 2021): zeros by mask, survivors re-solved against the original layer."""

    method: Literal["layerwise_pruning"] = "layerwise_pruning"
    sparsity_level: float = Field(ge=0, lt=1, description="Share of the weights set to zero, over all compressed layers.")
    allocation: Literal["normalized", "uniform"] = Field(
        default="normalized",
        description="`normalized`: one threshold on |w| / ‖W_l‖₂ over all layers (the paper); `uniform`: the same share in each.",
    )
    selection: Literal["magnitude", "diagonal", "obs"] = "obs"
    steps: int = Field(default=4, ge=1, le=100, description="Sparsity rises in this many steps by the paper's cubic law (Eq. 1).")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        weight = problem.target
        mask = np.ones(weight.shape, bool) if problem.support is None else problem.support
        inverse = np.einsum("gcc->gc", np.linalg.inv(problem.hessian))[:, None, :]
        diagonal = np.einsum("gcc->gc", problem.hessian)[:, None, :]
        for t in range(1, self.steps + 1):
            level = self.sparsity_level * (1 - (1 - t / self.steps) ** 3)
            if self.selection == "magnitude":
                score = np.abs(weight)
            elif self.selection == "obs":
                score = weight**2 / inverse
            else:
                pot = weight - ((weight - problem.target) @ problem.hessian) / diagonal
                score = pot**2 * diagonal
            if problem.support is not None: score = np.where(problem.support, score, -1)
            n = int(round(level * weight.size))
            if n:
                order = np.argsort(score, axis=None, kind="stable")
                mask = np.ones(weight.size, bool); mask[order[:n]] = False; mask = mask.reshape(weight.shape)
            weight = masked_least_squares(problem.target, problem.hessian, mask, np.where(mask, weight, 0))
        return LayerSolution(weight)
