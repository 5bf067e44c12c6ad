from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.methods.problems import KINDS, problem
from workers.methods.problem import LayerProblem, half
from workers.methods.solvers.clusters import (
    RowLevels,
    ScaledLevels,
    alternate,
    channel_scale,
    fitted_levels,
    fitted_rows,
    fitted_scale,
    k_means,
    ternary_levels,
)
from workers.methods.solvers.column_pass import apply, nearest, places, taken

LEVELS = np.array([-1.0, 0.0, 0.5, 1.5])
ZERO = 1


def lloyd(values: npt.NDArray[Any], start: npt.NDArray[Any], iterations: int) -> npt.NDArray[Any]:
    levels = np.array(start)
    for _ in range(iterations):
        member = np.abs(values[:, None] - levels).argmin(axis=1)
        for k in np.flatnonzero(levels):
            if (member == k).any():
                levels[k] = values[member == k].mean()
    return levels


def test_k_means_is_lloyds_algorithm_with_the_zero_held() -> None:
    values = np.random.default_rng(0).normal(size=500)
    found = k_means(values, LEVELS, 7)
    np.testing.assert_allclose(found, lloyd(values, LEVELS, 7), rtol=1e-6)
    assert found[1] == 0


def test_k_means_holds_what_is_frozen_and_empty_clusters() -> None:
    values = np.random.default_rng(0).normal(size=500)
    found = k_means(values, np.array([-1.0, 0.0, 0.5, 90.0]), 5, held=np.array([True, False, False, False]))
    assert (found[0], found[1], found[3]) == (-1, 0, 90)
    assert found[2] != 0.5


def least_squares(posed: LayerProblem, basis: npt.NDArray[Any]) -> float:
    """The least error of all weights that are linear in some values, `basis` (n, g, r, c) times them."""
    normal = np.einsum("kgrc,lgrc->kl", basis @ posed.hessian, basis)
    values = np.linalg.lstsq(normal, np.einsum("kgrc,grc->k", basis @ posed.hessian, posed.target), rcond=None)[0]
    return posed.error(np.tensordot(values, basis, 1))


def indicators(member: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return np.stack([(member == k).astype(float) for k in range(size) if k != ZERO])


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_levels_are_the_least_squares_solution(kind: str) -> None:
    posed = problem(kind, (2, 5, 12))
    member = places(LEVELS, posed.original)
    fitted = fitted_levels(posed, member, LEVELS)
    assert fitted[ZERO] == 0
    assert posed.error(fitted[member]) <= least_squares(posed, indicators(member, LEVELS.size)) * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_rows_are_the_least_squares_solution_of_every_row(kind: str) -> None:
    posed = problem(kind, (2, 3, 12))
    table = np.broadcast_to(LEVELS, (2, 3, LEVELS.size)) * np.arange(1.0, 4.0)[:, None]
    member = places(table, posed.original)
    fitted = fitted_rows(posed, member, table)
    rows = np.eye(6).reshape(6, 2, 3, 1)
    basis = np.concatenate([indicators(member, LEVELS.size) * row for row in rows])
    assert posed.error(taken(fitted, member)) <= least_squares(posed, basis) * (1 + 1e-6) + 1e-9
    assert not fitted[..., ZERO].any()


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_scales_are_the_least_squares_solution_of_every_row(kind: str) -> None:
    posed = problem(kind, (2, 3, 12))
    codes = LEVELS[places(LEVELS, posed.original)]
    scale = fitted_scale(posed, codes, np.ones((2, 3, 1)))
    assert scale.min() > 0
    rows = np.eye(6).reshape(6, 2, 3, 1)
    if kind not in ("zero", "constant"):
        assert posed.error(codes * scale) == pytest.approx(least_squares(posed, rows * codes))


SIZES = st.floats(1e-9, 1e9)


@given(SIZES, SIZES)
def test_products_of_two_numbers_in_half_precision_are_exact(a: Any, b: Any) -> None:
    level, scale = half(np.array([a, -b]))
    assert float(np.float32(level) * np.float32(scale)) == level * scale
    assert abs(level - a) <= 2.0**-11 * a


@given(seed=st.integers(0, 99))
def test_places_are_those_of_the_nearest_level(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.sort(rng.normal(size=(2, 3, 5)), axis=2)
    values = rng.normal(size=(2, 3, 7))
    expected = np.abs(values[..., None] - table[:, :, None]).argmin(axis=3)
    np.testing.assert_array_equal(places(table, values), expected)
    np.testing.assert_array_equal(taken(table, expected), np.take_along_axis(table, expected, axis=2))


@pytest.mark.parametrize("learnt", ["scaled", "rows"])
def test_alternating_improves_on_clusters_of_the_weights(learnt: str) -> None:
    """Rows of very different size, as folding BatchNorm leaves them."""
    posed = problem(shape=(1, 16, 48))
    posed = posed.in_units_of(np.geomspace(0.01, 100, 16)[:, None])
    scale = channel_scale(posed.original)
    unit = posed.in_units_of(scale)
    levels = k_means(unit.original, ternary_levels(unit.original), 50)
    book = ScaledLevels(levels, scale) if learnt == "scaled" else RowLevels(half(levels * scale))
    shared = apply(nearest(levels), unit.original)
    weight, found = alternate(posed, [(apply(nearest(book.table), posed.original), book)], 12)
    assert unit.error(weight / scale) < 0.6 * unit.error(shared)
    assert np.isin(weight, found.table).all()
