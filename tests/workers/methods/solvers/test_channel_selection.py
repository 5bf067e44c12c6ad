"""The price of a channel, against solving the layer anew without it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.workers.methods.problems import problem
from workers.methods.problem import LayerProblem
from workers.methods.solvers.channel_selection import Reader, elimination, solve_kept_columns

RNG = np.random.default_rng(0)


def without(posed: LayerProblem, columns: npt.NDArray[Any]) -> float:
    """The least error with some columns gone, relative to the outputs' energy."""
    kept = np.ones(posed.target.shape[2], np.bool_)
    kept[columns] = False
    return posed.error(solve_kept_columns(posed, kept))


@pytest.mark.parametrize("kind", ["plain", "rank_deficient", "dead_input"])
def test_the_costs_add_up_to_the_error_of_solving_anew(kind: str) -> None:
    posed = problem(kind, shape=(1, 5, 18))
    columns = np.arange(18).reshape(6, 3)
    order, costs = elimination([Reader(posed, 2.0, columns)], 5)
    for count in range(1, 6):
        expected = without(posed, columns[order[:count]].ravel()) / 2
        assert costs[:count].sum() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_first_to_go_is_missed_least_by_all_readers_together() -> None:
    posed, other = problem(shape=(1, 5, 18)), problem(shape=(1, 3, 6), seed=4)
    columns, single = np.arange(18).reshape(6, 3), np.arange(6)[:, None]
    order, _ = elimination([Reader(posed, 1.0, columns), Reader(other, 0.5, single)], 1)
    costs = [without(posed, columns[channel]) + without(other, single[channel]) / 0.5 for channel in range(6)]
    assert order.tolist() == [int(np.argmin(costs))]


def test_kept_columns_are_solved_as_by_themselves() -> None:
    posed = problem(shape=(2, 4, 8))
    kept = RNG.random(8) < 0.6
    weight = solve_kept_columns(posed, kept)
    gradient = (weight - posed.target) @ posed.hessian
    assert not weight[:, :, ~kept].any()
    np.testing.assert_allclose(gradient[:, :, kept], 0, atol=1e-8)
