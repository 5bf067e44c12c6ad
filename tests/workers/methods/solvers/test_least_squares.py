from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.workers.methods.problems import problem
from workers.methods.problem import LayerProblem
from workers.methods.solvers.least_squares import Relaxation, masked_least_squares


def closed_form(
    target: npt.NDArray[Any], hessian: npt.NDArray[Any], free: npt.NDArray[Any], start: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Row by row: H_FF w_F = (H w*)_F − H_FK w_K, with F the free and K the kept columns."""
    solved = start.copy()
    for g, r in np.ndindex(*target.shape[:2]):
        on = free[g, r]
        pull = hessian[g] @ target[g, r] - hessian[g][:, ~on] @ start[g, r, ~on]
        solved[g, r, on] = np.linalg.solve(hessian[g][np.ix_(on, on)], pull[on])
    return solved


@pytest.mark.parametrize(("shape", "taps"), [((1, 6, 12), 1), ((1, 6, 12), 4), ((3, 2, 9), 9), ((1, 4, 40), 8)])
def test_agrees_with_the_closed_form(shape: tuple[int, ...], taps: int) -> None:
    posed = replace(problem(shape=shape), taps=taps)
    rng = np.random.default_rng(1)
    free = rng.random(shape) < 0.6
    start = np.where(free, 0.0, rng.normal(size=shape))
    solved = masked_least_squares(posed, free, start, iterations=400, tolerance=1e-10)
    np.testing.assert_allclose(solved, closed_form(posed.target, posed.hessian, free, start), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("taps", [1, 3])
def test_the_pull_is_what_every_entry_would_follow(taps: int) -> None:
    posed = replace(problem(), taps=taps)
    free = np.random.default_rng(1).random(posed.target.shape) < 0.5
    weight, pull = Relaxation(posed)(free, 0 * posed.target)
    np.testing.assert_allclose(pull, (posed.target - weight) @ posed.hessian, atol=1e-10)
    assert np.abs(pull[free]).max() < 1e-3 * np.abs(pull[~free]).max()


def test_blocks_of_taps_need_fewer_steps() -> None:
    """Inputs whose taps go together: a few steps with their blocks do more than with the diagonal."""
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.normal(size=(500, 8)), 9, axis=1) + 0.2 * rng.normal(size=(500, 72))
    target = rng.normal(size=(1, 5, 72))
    posed = LayerProblem("layer", target, (inputs.T @ inputs / 500)[None], target)
    free = rng.random(target.shape) < 0.5
    errors = [posed.error(Relaxation(replace(posed, taps=taps))(free, 0 * target, 4)[0]) for taps in (1, 9)]
    exact = posed.error(closed_form(target, posed.hessian, free, 0 * target))
    assert errors[1] - exact < 0.5 * (errors[0] - exact)


def test_single_precision_agrees_where_columns_are_many() -> None:
    posed = problem(shape=(1, 2, 1100), samples=3000)
    free = np.random.default_rng(1).random(posed.target.shape) < 0.5
    solved = masked_least_squares(posed, free, np.zeros_like(posed.target), iterations=300)
    exact = closed_form(posed.target, posed.hessian, free, np.zeros_like(posed.target))
    assert posed.error(solved) <= posed.error(exact) * 1.001


def test_kept_entries_stay_as_they_are() -> None:
    posed = problem()
    free = np.zeros(posed.target.shape, bool)
    np.testing.assert_array_equal(masked_least_squares(posed, free, posed.original), posed.original)
