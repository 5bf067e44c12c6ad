"""Which weights of a layer to keep: the mask and the weights are sought together, by alternating directions (ADMM).

One copy of the weights obeys H, the other one the mask; multipliers draw them together, ever harder. A weight that was left out
may return at any time, and what it can do together with all others counts, where a mask chosen step by step sees one weight
at a time (Boyd et al. 2011, section 9.1; for layers Boža 2024, "Fast and Effective Weight Update for Pruned Large Language
Models", and Meng et al. 2024, "ALPS").
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, Work

MOST_COLUMNS = 1536  # of a layer: the inverses of a larger H cost more than they save
ITERATIONS = 30  # at the most
SETTLED, PATIENCE = 2e-3, 2  # part of the mask that still changes in a turn, and for how many turns, once it has settled
PENALTY, GROWTH = 0.1, 1.13  # of the distance between both copies, H having ones on its diagonal; from turn to turn
WIDE, TURNS = 256, 3  # a layer of more columns takes so many turns at one penalty, for each penalty needs an inverse
Project = Callable[[Array, float], Mask]  # scores (g, r, c) and a sparsity to the weights that stay


def choose_mask(problem: LayerProblem, levels: Array, project: Project) -> tuple[Mask, Array]:
    """The weights to keep, and where to start solving for them, (g, r, c) each.

    Sparsity takes the rising `levels` one by one, and stays at the last until the mask has settled. `project` keeps what scores
    highest: H_jj w², what a weight would cost if no other made up for it.
    """
    unit = np.sqrt(np.einsum("gcc->gc", problem.hessian), dtype=np.float64)
    metric = (problem.hessian / (unit[:, :, None] * unit[:, None, :])).astype(np.float32)
    target = (problem.target * unit[:, None, :]).astype(np.float32)
    ones = np.eye(metric.shape[1], dtype=np.float32)
    pull, multiplier, penalty = target @ metric, np.zeros_like(target), PENALTY
    kept = project(np.square(target, dtype=np.float64), float(levels[0]))
    masked, still = np.where(kept, target, 0), 0
    turns = TURNS if metric.shape[1] > WIDE else 1
    for turn in range(max(ITERATIONS, len(levels))):
        if turn % turns == 0:
            penalty *= GROWTH**turns if turn else 1
            inverse = _inverse(metric + np.float32(penalty) * ones)
        free = (pull + penalty * masked - multiplier) @ inverse
        wanted = free + multiplier / penalty
        before, kept = kept, project(np.square(wanted, dtype=np.float64), float(levels[min(turn, len(levels) - 1)]))
        masked = np.where(kept, wanted, 0)
        still = still + 1 if turn >= len(levels) and np.mean(kept != before) < SETTLED else 0
        if still == PATIENCE:
            break
        multiplier = multiplier + penalty * (free - masked)
    return kept, masked / unit[:, None, :]


def _inverse(metric: Work) -> Work:
    """Of positive definite matrices (g, c, c), by Cholesky decomposition. Clients know the methods without SciPy."""
    return np.asarray(import_module("scipy.linalg").inv(metric, assume_a="pos", check_finite=False, overwrite_a=True))
