"""Layer-wise calibration pruning: Lazarevich, Kozlov, Malinin, "Post-training deep neural network pruning via layer-wise
calibration" (2021).

The paper masks by magnitude and tunes the surviving weights of every layer by Adam against the original layer's output
(Eq. 6). That objective is a masked least-squares problem: it is solved here exactly, and the mask is revised as it rises.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from workers.methods.least_squares import masked_least_squares
from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask, Method


class LayerwisePruning(Method):
    """Zeros by mask, the surviving weights re-solved against the original layer's output (Lazarevich et al. 2021)."""

    method: Literal["layerwise_pruning"] = "layerwise_pruning"
    sparsity_level: float = Field(gt=0, lt=1, description="Share of the weights set to zero, over all compressed layers.")
    allocation: Literal["normalized", "uniform", "optimal"] = Field(
        default="normalized",
        description="`normalized`: one threshold on |w| / ‖W‖₂ over all layers (the paper); `uniform`: the same share in each; "
        "`optimal`: the shares that together harm the model's outputs least, as measured.",
    )
    gradual_steps: int = Field(default=8, ge=1, le=100, description="Steps in which sparsity rises, by the cubic law (Eq. 1).")

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Prune `sparsity_level` of this layer's weights."""
        steps = np.arange(1, self.gradual_steps + 1) / self.gradual_steps
        *_, weight = prune_gradually(problem, self.sparsity_level * (1 - (1 - steps) ** 3))
        return LayerSolution(weight)


def prune_gradually(problem: LayerProblem, levels: Iterable[float]) -> Iterator[Array]:
    """The weights (g, r, c) at every one of the rising sparsity `levels`; each begins where the one before has ended."""
    weight = problem.target
    for level in levels:
        kept = keep_highest(_score(problem, weight), level, problem.support)
        weight = masked_least_squares(problem.target, problem.hessian, kept, np.where(kept, weight, 0.0))
        yield weight


def _score(problem: LayerProblem, weight: Array) -> Array:
    """What each weight would save if it alone were free: H_jj v², with v its best value given all others, (g, r, c).

    For a kept weight v is its present value; a pruned one returns to the mask when its v has grown beyond a kept one's.
    """
    curvature = np.einsum("gcc->gc", problem.hessian)[:, None, :]
    best = weight - ((weight - problem.target) @ problem.hessian) / curvature
    scores: Array = curvature * best**2
    return scores


def keep_highest(score: Array, sparsity: float, support: Mask | None = None) -> Mask:
    """True for all but the lowest `sparsity` share of the scores; false outside the `support`. Ties fall to the earlier."""
    if support is not None:
        score = np.where(support, score, -1.0)
    pruned = np.argsort(score, axis=None, kind="stable")[: round(sparsity * score.size)]
    kept = np.ones(score.size, np.bool_)
    kept[pruned] = False
    shaped = kept.reshape(score.shape)
    return shaped if support is None else shaped & support
