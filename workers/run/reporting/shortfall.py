"""Where a level of sparsity was not reached: every layer keeps some of its weights, and not every block has all of its own."""

from collections.abc import Sequence

import numpy as np

from workers.engine.layer import LayerResult
from workers.methods.layerwise_pruning import LEAST_KEPT, ZEROS, LayerwisePruning
from workers.methods.problem import Step

NOTICED = 0.005  # of all weights


def shortfall(steps: Sequence[Step], results: Sequence[LayerResult]) -> list[str]:
    """What is to be said of each step that has left more weights than it was told to.

    Channels are not looked at: they come to their budget, of weights or of operations, or end the job.
    """
    pruned = [result for result in results if any(isinstance(step, LayerwisePruning) for step in result.steps)]
    if not pruned:
        return []
    reached = 1 - sum(np.count_nonzero(result.weight) for result in pruned) / sum(result.original.size for result in pruned)
    wanted = [step for step in steps if isinstance(step, LayerwisePruning) and not step.layers and not step.rewrites_graph]
    return [
        f"The recipe asks for a sparsity of {100 * step.sparsity_level:.4g} %, and {100 * reached:.4g} % was reached: "
        f"{_reason(step)}."
        for step in wanted
        if reached < step.sparsity_level - NOTICED
    ]


def _reason(step: LayerwisePruning) -> str:
    if step.pattern in ZEROS:
        return f"where input channels are no multiple of {ZEROS[step.pattern][1]}, the last block of them has fewer zeros"
    return f"every layer keeps {100 * LEAST_KEPT:.0f} % of its weights at least"
