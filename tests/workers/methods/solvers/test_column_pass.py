from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.workers.methods.problems import KINDS, problem
from workers.methods.problem import LayerProblem
from workers.methods.solvers.column_pass import apply, column_pass, coordinate_descent, descend, nearest

LEVELS = np.array([-1.0, 0.0, 0.5, 1.5])


def gptq(posed: LayerProblem, choose: Callable[..., Any]) -> npt.NDArray[Any]:
    """Frantar et al. 2022, Algorithm 1, column by column with the inverse of H downdated."""
    order = np.argsort(-np.einsum("gcc->c", posed.hessian), kind="stable")
    result = np.empty_like(posed.target)
    for g in range(result.shape[0]):
        inverse = np.linalg.inv(posed.hessian[g])
        weight = posed.target[g].copy()
        for j in order:
            chosen = choose(weight[None, :, j], j)[0]
            weight -= np.outer((weight[:, j] - chosen) / inverse[j, j], inverse[j])
            result[g, :, j] = chosen
            inverse -= np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    return result


@pytest.mark.parametrize("shape", [(1, 6, 12), (3, 2, 9), (1, 4, 40)])
def test_a_sweep_is_gptq(shape: tuple[int, ...]) -> None:
    posed = problem(shape=shape)
    np.testing.assert_array_equal(column_pass(posed, nearest(LEVELS)), gptq(posed, nearest(LEVELS)))


@pytest.mark.parametrize("one_pass", [column_pass, lambda posed, choose: descend(posed, posed.original, choose)])
def test_blocks_change_nothing(one_pass: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    posed = problem(shape=(2, 3, 50))
    whole = one_pass(posed, nearest(LEVELS))
    monkeypatch.setattr("workers.methods.solvers.column_pass.BLOCK", 7)
    np.testing.assert_array_equal(one_pass(posed, nearest(LEVELS)), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sweep_of_descent_raises_the_error(kind: str) -> None:
    posed = problem(kind, (2, 5, 30))
    errors = [posed.error(apply(nearest(LEVELS), posed.original))]
    for sweeps in range(1, 6):
        errors.append(posed.error(descend(posed, apply(nearest(LEVELS), posed.original), nearest(LEVELS), sweeps)))
    assert all(after <= before * (1 + 1e-12) for before, after in zip(errors, errors[1:], strict=False))


def test_no_single_change_improves_what_has_settled() -> None:
    posed = problem(shape=(1, 3, 12))
    weight = coordinate_descent(posed, nearest(LEVELS), sweeps=100)
    least = posed.error(weight)
    for row, column, level in product(range(3), range(12), LEVELS):
        other = weight.copy()
        other[0, row, column] = level
        assert posed.error(other) >= least * (1 - 1e-12)


def test_close_to_the_best_of_all_choices() -> None:
    posed = problem(shape=(1, 1, 6))
    everything = np.array(list(product(LEVELS, repeat=6)))[None]  # (1, 4^6, 6)
    deviation = everything - posed.target
    errors = np.sum((deviation @ posed.hessian) * deviation, axis=2)[0]
    found = posed.error(coordinate_descent(posed, nearest(LEVELS)))
    assert errors.min() * (1 - 1e-9) <= found <= np.quantile(errors, 0.01)


def test_single_precision_chooses_as_well_where_columns_are_many() -> None:
    posed = problem(shape=(1, 2, 1100), samples=3000)
    found = coordinate_descent(posed, nearest(LEVELS))
    assert set(np.unique(found)) <= set(LEVELS)
    assert posed.error(found) < 0.5 * posed.error(apply(nearest(LEVELS), posed.target))
