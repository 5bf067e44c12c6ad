"""Where a level of sparsity was not reached: every layer keeps some of its weights."""

from collections.abc import Sequence

import numpy as np

from workers.engine.layer import LayerResult
from workers.methods.layerwise_pruning import LEAST_KEPT, LayerwisePruning
from workers.methods.problem import Step

NOTICED = 0.005  # of all weights


def shortfall(steps: Sequence[Step], results: Sequence[LayerResult]) -> list[str]:
    """What is to be said of each step that has left more weights than it was told to."""
    pruned = [result for result in results if any(isinstance(step, LayerwisePruning) for step in result.steps)]
    if not pruned:
        return []
    reached = 1 - sum(np.count_nonzero(result.weight) for result in pruned) / sum(result.original.size for result in pruned)
    wanted = [step.sparsity_level for step in steps if isinstance(step, LayerwisePruning) and not step.layers]
    return [
        f"The recipe asks for a sparsity of {100 * level:.4g} %, and {100 * reached:.4g} % was reached: every layer keeps "
        f"{100 * LEAST_KEPT:.0f} % of its weights at least."
        for level in wanted
        if reached < level - NOTICED
    ]
