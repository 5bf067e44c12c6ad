"""Integers times a step for every row: the integers are chosen and the steps fitted in turn, in the metric of H."""

import numpy as np

from workers.methods.problem import Array, LayerProblem, half
from workers.methods.solvers.clusters import fitted_scale
from workers.methods.solvers.column_pass import Choose, best_row, coordinate_descent, descend, on_multiples, picked


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
