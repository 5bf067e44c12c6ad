"""Which weights of a layer to keep: the mask and the weights are sought together, by alternating directions (ADMM).

One copy of the weights obeys H, the other one the mask; multipliers draw them together, ever harder. A weight that was left out
may return at any time, and what it can do together with all others counts, where a mask chosen step by step sees one weight
at a time (Boyd et al. 2011, section 9.1; for layers Boža 2024, "Fast and Effective Weight Update for Pruned Large Language
Models", and Meng et al. 2024, "ALPS").
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from itertools import accumulate, repeat
from operator import mul

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, Work
from workers.methods.solvers.triangles import mirror
from workers.threads import Threads, parts_of_rows

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
    threads, unit = problem.threads, np.sqrt(np.einsum("gcc->gc", problem.hessian), dtype=np.float64)
    metric = _in_units(problem, unit)
    target = threads.by_rows(lambda some: some * unit[:, None, :], problem.target, dtype=np.float32)
    most, wide = max(ITERATIONS, len(levels)), metric.shape[1] > WIDE
    turns = TURNS if wide else 1
    penalties = list(accumulate(repeat(GROWTH**turns, (most - 1) // turns), mul, initial=PENALTY))
    solves = zip(penalties, (_by_inverses if wide else _by_eigenvectors)(metric, penalties, threads), strict=True)
    pull, penalty, parts = threads.product(target, metric), PENALTY, parts_of_rows(target)
    kept = project(np.abs(target), float(levels[0]))
    wanted, right, still = target * kept, np.empty_like(target), 0
    for turn in range(most):
        before, former = kept, penalty
        if turn % turns == 0:
            penalty, solve = next(solves)
        threads.each(partial(_reflect, kept, pull, penalty, former, wanted, right), parts)
        wanted += solve(right)
        kept = project(threads.by_rows(np.abs, wanted, dtype=np.float32), float(levels[min(turn, len(levels) - 1)]))
        still = still + 1 if turn >= len(levels) and np.count_nonzero(kept != before) < SETTLED * kept.size else 0
        if still == PATIENCE:
            break
    start = threads.by_rows(lambda on, some: np.where(on, some, 0) / unit[:, None, :], kept, wanted, dtype=np.float64)
    return kept, start


def _in_units(problem: LayerProblem, unit: Array) -> Work:
    """H with ones on its diagonal, in float32; `unit` (g, c) are the roots of those that it has."""
    metric = np.empty(problem.hessian.shape, np.float32)

    def scale(part: slice) -> None:
        metric[:, part] = problem.hessian[:, part] / (unit[:, part, None] * unit[:, None, :])

    problem.threads.each(scale, parts_of_rows(metric))
    return metric


def _reflect(kept: Mask, pull: Work, penalty: float, former: float, wanted: Work, right: Work, part: slice) -> None:
    """Some rows of what is solved for, `right`, and of `wanted` without what the mask leaves of it."""
    some, obeying = wanted[:, part], right[:, part]
    np.multiply(some, kept[:, part], out=obeying)
    some -= obeying  # times `former`, the multiplier
    obeying *= np.float32(penalty)
    obeying -= np.float32(former) * some
    obeying += pull[:, part]
    some *= np.float32(former / penalty)


def _by_eigenvectors(metric: Work, penalties: Sequence[float], threads: Threads) -> Iterator[Solve]:
    """For narrow layers, many of which may be one problem: one decomposition serves all penalties, at two products a turn."""
    values, vectors = np.linalg.eigh(metric)
    back = np.ascontiguousarray(vectors.swapaxes(1, 2))
    for penalty in penalties:
        yield partial(_rotated, threads, vectors, (values + penalty)[:, None], back)


def _by_inverses(metric: Work, penalties: Sequence[float], threads: Threads) -> Iterator[Solve]:
    """For wide layers: an inverse for each penalty, by Cholesky decomposition, and one product a turn.

    Every thread makes one ahead: there is little in a decomposition that could be shared.
    """
    lapack = import_module("scipy.linalg.lapack")  # clients know methods without SciPy
    ones = np.eye(metric.shape[1], dtype=np.float32)

    def invert(matrices: Work) -> None:
        """In place."""
        for matrix in matrices:
            factor, failed = lapack.spotrf(matrix.T, lower=True, clean=False, overwrite_a=True)
            found, _ = lapack.spotri(factor, lower=True, overwrite_c=True)
            if failed:
                raise np.linalg.LinAlgError("the metric of a layer is not positive definite")
            mirror(found)

    for first in range(0, len(penalties), threads.count):
        inverses = [metric + np.float32(penalty) * ones for penalty in penalties[first : first + threads.count]]
        threads.each(invert, inverses)
        for inverse in inverses:
            yield partial(_applied, threads, inverse)


def _rotated(threads: Threads, vectors: Work, scale: Work, back: Work, right: Work) -> Work:
    return threads.product(threads.product(right, vectors) / scale, back)


def _applied(threads: Threads, inverse: Work, right: Work) -> Work:
    return threads.product(right, inverse)
