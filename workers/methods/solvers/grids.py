"""Integers times a step for every row: the integers are chosen and the steps fitted in turn, in the metric of H."""

import numpy as np

from workers.methods.problem import Array, LayerProblem, half
from workers.methods.solvers.clusters import fitted_scale
from workers.methods.solvers.column_pass import Choose, best_row, coordinate_descent, descend, on_multiples, picked

ROUNDS = 3  # turns of fitting the steps and choosing the integers
TINY = float(np.finfo(np.float32).tiny)  # a channel of smaller weights is one of zeros: processors take them for that
SHRINKS = np.linspace(1.0, 0.4, 31)  # candidate ranges, as shares of the largest weight


def uniform_grid(problem: LayerProblem, bits: int, rounds: int = ROUNDS) -> tuple[Array, Array]:
    """Weights on a symmetric grid of `bits` bits for every row, and its steps (g, r, 1)."""
    reach = 2 ** (bits - 1) - 1
    return fitted_grid(problem, best_step(problem.original, importance(problem), reach), reach, rounds)


def fitted_grid(problem: LayerProblem, step: Array, reach: float, rounds: int) -> tuple[Array, Array]:
    """Weights that are integers within ±`reach` times a step, and the steps (g, r, 1); no row is worse than on its first."""
    weight = coordinate_descent(problem, _multiples(problem, step, reach))
    for _ in range(rounds):
        codes = np.rint(weight / step)
        fitted = half(fitted_scale(problem, codes, step))
        moved = descend(problem, codes * fitted, _multiples(problem, fitted, reach))
        better = best_row(problem, [weight, moved])
        weight, step = picked([weight, moved], better), picked([step, fitted], better)
        if not better.any():
            break
    return weight, step


def _multiples(problem: LayerProblem, step: Array, reach: float) -> Choose:
    return on_multiples(np.broadcast_to(step, problem.target.shape), reach, problem.support)


def importance(problem: LayerProblem) -> Array:
    """H_jj of every column, (g, 1, c)."""
    return np.asarray(np.einsum("gcc->gc", problem.hessian)[:, None, :])


def best_step(weight: Array, curvature: Array, reach: int) -> Array:
    """The step (g, r, 1) that minimises Σ H_jj (w − rounded w)²; positive, also for a channel of zeros."""
    largest = np.abs(weight).max(axis=2, keepdims=True)
    best = widest = half(np.where(largest > TINY, largest, 1.0) / reach)
    least = np.full(largest.shape, np.inf)
    for shrink in SHRINKS:
        step = half(shrink * widest)
        rounded = step * np.clip(np.rint(weight / step), -reach, reach)
        loss = np.sum(curvature * (weight - rounded) ** 2, axis=2, keepdims=True)
        best, least = np.where(loss < least, step, best), np.minimum(loss, least)
    return best
