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
Project = Callable[[Work, float], Mask]  # scores (g, r, c) and a sparsity to the weights that stay
Solve = Callable[[Work], Work]  # B (g, r, c) to B (H + penalty)⁻¹


def choose_mask(problem: LayerProblem, levels: Array, project: Project) -> tuple[Mask, Array]:
    """The weights to keep, and where to start solving for them, (g, r, c) each.

    Sparsity takes the rising `levels` one by one, and stays at the last until the mask has settled. `project` keeps what scores
    highest: |w| times the root of H_jj, which tells what a weight would cost if no other made up for it.
    """
    unit = np.sqrt(np.einsum("gcc->gc", problem.hessian), dtype=np.float64)
    metric = (problem.hessian / (unit[:, :, None] * unit[:, None, :])).astype(np.float32)
    target = (problem.target * unit[:, None, :]).astype(np.float32)
    at_penalty, turns = (_by_inverses(metric), TURNS) if metric.shape[1] > WIDE else (_by_eigenvectors(metric), 1)
    pull, penalty = target @ metric, PENALTY
    kept = project(np.abs(target), float(levels[0]))
    wanted, still = target * kept, 0
    for turn in range(max(ITERATIONS, len(levels))):
        before, former = kept, penalty
        if turn % turns == 0:
            penalty *= GROWTH**turns if turn else 1
            solve = at_penalty(penalty)
        obeying = wanted * kept
        wanted -= obeying  # times `former`, the multiplier
        obeying *= np.float32(penalty)
        obeying -= np.float32(former) * wanted
        obeying += pull
        wanted *= np.float32(former / penalty)
        wanted += solve(obeying)
        kept = project(np.abs(wanted), float(levels[min(turn, len(levels) - 1)]))
        still = still + 1 if turn >= len(levels) and np.count_nonzero(kept != before) < SETTLED * kept.size else 0
        if still == PATIENCE:
            break
    return kept, np.where(kept, wanted, 0) / unit[:, None, :]


def _by_eigenvectors(metric: Work) -> Callable[[float], Solve]:
    """For narrow layers, many of which may be one problem: one decomposition serves all penalties, at two products a turn."""
    values, vectors = np.linalg.eigh(metric)
    back = np.ascontiguousarray(vectors.swapaxes(1, 2))
    return lambda penalty: lambda right: (right @ vectors / (values + penalty)[:, None]) @ back


def _by_inverses(metric: Work) -> Callable[[float], Solve]:
    """For wide layers: one triangle of an inverse for each penalty, by Cholesky decomposition, and one product a turn."""
    blas, lapack = (import_module(f"scipy.linalg.{name}") for name in ("blas", "lapack"))  # clients know methods without SciPy
    ones = np.eye(metric.shape[1], dtype=np.float32)

    def inverse(matrix: Work) -> Work:
        factor, failed = lapack.spotrf(matrix.T, lower=True, clean=False, overwrite_a=True)
        found, _ = lapack.spotri(factor, lower=True, overwrite_c=True)
        if failed:
            raise np.linalg.LinAlgError("the metric of a layer is not positive definite")
        return np.asarray(found)

    def at_penalty(penalty: float) -> Solve:
        found = [inverse(matrix) for matrix in metric + np.float32(penalty) * ones]
        return lambda right: np.stack([blas.ssymm(1.0, half, b.T, lower=True).T for half, b in zip(found, right, strict=True)])

    return at_penalty
