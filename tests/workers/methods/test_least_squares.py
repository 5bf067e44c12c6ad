import numpy as np
import pytest

from tests.workers.methods.problems import problem
from workers.methods.least_squares import masked_least_squares


def closed_form(target, hessian, free, start):
    """Row by row: H_FF w_F = (H w*)_F − H_FK w_K, with F the free and K the kept columns."""
    solved = start.copy()
    for g, r in np.ndindex(*target.shape[:2]):
        on = free[g, r]
        pull = hessian[g] @ target[g, r] - hessian[g][:, ~on] @ start[g, r, ~on]
        solved[g, r, on] = np.linalg.solve(hessian[g][np.ix_(on, on)], pull[on])
    return solved


@pytest.mark.parametrize("shape", [(1, 6, 12), (3, 2, 9), (1, 4, 40)])
def test_agrees_with_the_closed_form(shape):
    posed = problem(shape=shape)
    rng = np.random.default_rng(1)
    free = rng.random(shape) < 0.6
    start = np.where(free, 0.0, rng.normal(size=shape))
    solved = masked_least_squares(posed.target, posed.hessian, free, start, iterations=400, tolerance=1e-10)
    np.testing.assert_allclose(solved, closed_form(posed.target, posed.hessian, free, start), rtol=1e-6, atol=1e-8)


def test_single_precision_agrees_where_columns_are_many():
    posed = problem(shape=(1, 2, 1100), samples=3000)
    free = np.random.default_rng(1).random(posed.target.shape) < 0.5
    solved = masked_least_squares(posed.target, posed.hessian, free, np.zeros_like(posed.target), iterations=300)
    exact = closed_form(posed.target, posed.hessian, free, np.zeros_like(posed.target))
    assert posed.error(solved) <= posed.error(exact) * 1.001


def test_kept_entries_stay_as_they_are():
    posed = problem()
    free = np.zeros(posed.target.shape, bool)
    np.testing.assert_array_equal(masked_least_squares(posed.target, posed.hessian, free, posed.original), posed.original)
