"""Grids for rows, masks by alternating directions, portions: against exhaustive search and against closed forms."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.workers.methods.problems import KINDS, SHAPES, problem
from workers.engine.normal_equations import solve_normal_equations
from workers.methods.problem import LayerProblem, half
from workers.methods.solvers.alternating_directions import choose_mask
from workers.methods.solvers.clusters import (
    RowLevels,
    ScaledLevels,
    channel_scale,
    fitted_levels,
    fitted_rows,
    fitted_scale,
    k_means,
    ternary_levels,
)
from workers.methods.solvers.column_pass import on_multiples, places, taken, within
from workers.methods.solvers.grids import TINY, best_step, fitted_grid, importance, uniform_grid
from workers.methods.solvers.portions import Portions

RNG = np.random.default_rng(0)


# grids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_integers_times_the_step_of_their_row(kind: str, shape: tuple[int, ...], bits: int) -> None:
    posed = problem(kind, shape)
    weight, step = uniform_grid(posed, bits)
    assert step.shape == (*shape[:2], 1)
    assert (step > 0).all()
    codes = weight / step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)
    assert np.abs(codes).max() <= 2 ** (bits - 1) - 1 + 1e-5
    np.testing.assert_array_equal(half(step), step)


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_worse_than_rounded_on_its_first_step(kind: str) -> None:
    posed = problem(kind, (2, 5, 9))
    step = best_step(posed.original, importance(posed), 7)
    rounded = step * np.clip(np.rint(posed.original / step), -7, 7)
    weight, _ = fitted_grid(posed, step, 7, 3)
    assert (posed.row_errors(weight) <= posed.row_errors(rounded) * (1 + 1e-9) + 1e-12).all()


def test_more_bits_are_never_worse() -> None:
    posed = problem(shape=(1, 4, 10))
    errors = [posed.error(uniform_grid(posed, bits)[0]) for bits in (2, 3, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)


def test_on_a_small_layer_descent_finds_what_exhaustion_finds_or_nearly() -> None:
    posed = problem(shape=(1, 1, 4), seed=3)
    weight, step = fitted_grid(posed, best_step(posed.original, importance(posed), 1), 1, 3)
    best = min(posed.error(step * np.array([[codes]])) for codes in product((-1.0, 0.0, 1.0), repeat=4))
    assert posed.error(weight) <= best * 1.05


def test_a_row_of_zeros_has_a_positive_step_and_stays() -> None:
    weight = np.zeros((1, 2, 3))
    weight[0, 1] = [1, -2, 3]
    step = best_step(weight, np.ones((1, 1, 3)), 7)
    assert (step > 0).all()
    np.testing.assert_array_equal(step * np.rint(weight / step)[:, :1], np.zeros((1, 2, 3)))


@settings(max_examples=30)
@example([5e-324], 7)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.sampled_from([1, 7, 127]))
def test_the_step_is_no_worse_than_that_of_the_largest_weight(values: list[float], reach: int) -> None:
    weight = np.array([[values]])
    largest = np.abs(weight).max()
    step = best_step(weight, np.ones((1, 1, len(values))), reach)

    def loss(step: Any) -> float:
        return float(np.sum((weight - step * np.clip(np.rint(weight / step), -reach, reach)) ** 2))

    widest = half(np.array(largest / reach if largest > TINY else 1 / reach))
    assert loss(step) <= loss(widest) * (1 + 1e-9)


# masks


def highest(scores: Any, sparsity: float) -> Any:
    """The weights of the whole layer that score highest."""
    flat = scores.reshape(-1)
    kept = np.zeros(flat.size, bool)
    kept[np.argsort(-flat, kind="stable")[: flat.size - round(sparsity * flat.size)]] = True
    return kept.reshape(scores.shape)


def solved(posed: LayerProblem, mask: Any) -> float:
    """The least error on a mask of one row, by its normal equations."""
    kept = np.flatnonzero(mask[0, 0])
    hessian = posed.hessian[0]
    weight = np.zeros(posed.target.shape)
    if kept.size:
        weight[0, 0, kept] = np.linalg.solve(hessian[np.ix_(kept, kept)], (hessian @ posed.target[0, 0])[kept])
    return posed.error(weight)


@pytest.mark.parametrize("seed", range(6))
def test_a_mask_is_nearly_the_best_of_all_masks(seed: int) -> None:
    posed = problem(shape=(1, 1, 8), seed=seed)
    mask, _ = choose_mask(posed, np.linspace(0, 0.5, 8), highest)
    assert mask.sum() == 4
    every = [solved(posed, np.isin(np.arange(8), kept)[None, None]) for kept in combinations(range(8), 4)]
    magnitude = solved(posed, highest(posed.original**2, 0.5))
    found = solved(posed, mask)
    assert found <= sorted(every)[3]  # of seventy
    assert found <= magnitude * (1 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_weights_that_it_begins_with_lie_on_the_mask(kind: str, shape: tuple[int, ...]) -> None:
    posed = problem(kind, shape)
    mask, weight = choose_mask(posed, np.array([0.2, 0.4, 0.5]), highest)
    assert mask.shape == weight.shape == shape
    assert mask.mean() == pytest.approx(0.5, abs=1 / mask.size)
    assert np.isfinite(weight).all()
    assert (weight[~mask] == 0).all()


def test_without_sparsity_the_target_is_found_again() -> None:
    posed = problem(shape=(1, 3, 6))
    mask, weight = choose_mask(posed, np.array([0.0]), highest)
    assert mask.all()
    np.testing.assert_allclose(weight, posed.target, rtol=0.02, atol=0.02)


# portions


@pytest.mark.parametrize("portions", [[1], [0.5, 1], [0.5, 0.75, 0.875, 1.0], [1e-9, 1]])
def test_portions_that_rise_to_one(portions: list[float]) -> None:
    assert TypeAdapter(Portions).validate_python(portions) == tuple(portions)


@pytest.mark.parametrize(
    "portions", [[], [0.5], [0.5, 0.5, 1], [0.7, 0.5, 1], [0, 1], [-0.5, 1], [1, 1], [1, 2], [float("nan"), 1]]
)
def test_other_portions_are_refused_with_an_example(portions: list[float]) -> None:
    with pytest.raises(ValidationError, match=r"rise strictly to 1, for example \[0\.5"):
        TypeAdapter(Portions).validate_python(portions)


# least squares


@settings(max_examples=30)
@given(groups=st.integers(1, 3), rows=st.integers(1, 4), columns=st.integers(1, 6), seed=st.integers(0, 99))
def test_normal_equations_are_solved(groups: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(groups, columns, 2 * columns))
    hessian = root @ root.swapaxes(1, 2) + 0.1 * np.eye(columns)
    weight = rng.normal(size=(groups, rows, columns))
    np.testing.assert_allclose(solve_normal_equations(hessian, weight @ hessian), weight, rtol=1e-6, atol=1e-8)


# codebooks


@settings(max_examples=40)
@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=30), levels=st.integers(2, 5))
def test_k_means_never_grows_the_distance_and_keeps_zero(values: list[float], levels: int) -> None:
    data = np.array(values)
    start = np.sort(np.append(np.linspace(-9, 9, levels), 0.0))
    found = k_means(data, start, 20)
    assert (np.diff(found) >= 0).all()
    assert 0 in found
    distance = [np.sum((data - taken(book, places(book, data))) ** 2) for book in (start, found)]
    assert distance[1] <= distance[0] + 1e-9


def test_k_means_settles_on_means() -> None:
    data = np.array([-5.0, -4, -0.1, 0.2, 3, 3.5, 4])
    np.testing.assert_allclose(k_means(data, np.array([-6.0, 0, 6]), 50), [-4.5, 0, 3.5])
    np.testing.assert_allclose(k_means(data, np.array([-6.0, 1, 6]), 50, np.array([False, True, False])), [-4.5, 1, 3.5])


@pytest.mark.parametrize(
    ("weight", "levels"),
    [
        ([-2, -0.1, 0.1, 2], [-2, 0, 2]),
        ([1, 2, 3, 0.1], [0, 0, 2.5]),
        ([0, 0, 0], [0, 0, 0]),
        ([-1], [-1, 0, 0]),
    ],
)
def test_ternary_levels_are_the_means_of_both_sides(weight: list[float], levels: list[float]) -> None:
    np.testing.assert_allclose(ternary_levels(np.array(weight, float)), levels)


def test_the_scale_of_a_row_is_its_root_mean_square() -> None:
    weight = np.array([[[3.0, 4, 0, 0], [0, 0, 0, 0]]])
    np.testing.assert_allclose(channel_scale(weight)[0, :, 0], [2.5, 1])


def test_a_fitted_scale_is_a_regression() -> None:
    posed = problem(shape=(2, 3, 8))
    codes = np.rint(RNG.normal(size=(2, 3, 8)) * 2)
    codes[0, 0] = 0  # nothing to fit
    scale = fitted_scale(posed, codes, np.full((2, 3, 1), 0.3))
    assert scale[0, 0, 0] == 0.3
    for g, r in product(range(2), range(3)):
        root = np.linalg.cholesky(posed.hessian[g]).T
        if codes[g, r].any():
            slope = np.linalg.lstsq((root @ codes[g, r])[:, None], root @ posed.target[g, r], rcond=None)[0][0]
            assert scale[g, r, 0] == pytest.approx(slope if slope > 0 else 0.3)


@pytest.mark.parametrize("shared", [True, False])
def test_fitted_levels_are_a_regression_on_indicators(shared: bool) -> None:
    posed = problem(shape=(1, 3, 10), seed=5)
    levels = np.array([-1.0, 0.0, 0.8])
    member = RNG.integers(0, 3, (1, 3, 10))
    root = np.linalg.cholesky(posed.hessian[0]).T
    inside = [[root @ (member[0, r] == k) for k in (0, 2)] for r in range(3)]
    wanted = [root @ posed.target[0, r] for r in range(3)]
    if shared:
        design = np.concatenate([np.stack(row, axis=1) for row in inside])
        expected = np.linalg.lstsq(design, np.concatenate(wanted), rcond=None)[0]
        np.testing.assert_allclose(fitted_levels(posed, member, levels), [expected[0], 0, expected[1]], rtol=1e-4)
        return
    table = fitted_rows(posed, member, np.tile(levels, (1, 3, 1)))
    for r in range(3):
        expected = np.linalg.lstsq(np.stack(inside[r], axis=1), wanted[r], rcond=None)[0]
        np.testing.assert_allclose(table[0, r], [expected[0], 0, expected[1]], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_a_codebook_keeps_it_sorted_and_in_half_precision(kind: str) -> None:
    posed = problem(kind, (1, 3, 12))
    levels, scale = np.array([-1.0, -0.25, 0.0, 0.5]), channel_scale(posed.original)
    shared = ScaledLevels(levels, scale)
    rows = RowLevels(np.tile(levels, (1, 3, 1)))
    for book in (shared, rows):
        fitted = book.fitted(posed, places(book.table, posed.original))
        assert (np.diff(fitted.table, axis=2) >= 0).all()
        np.testing.assert_array_equal(fitted.table.astype(np.float32), fitted.table)


# choices


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=10))
def test_the_nearest_level_is_the_nearest(values: list[float]) -> None:
    levels = np.array([-1.0, 0.0, 0.5, 1.5])
    data = np.array([[values]])
    found = taken(levels, places(levels, data))
    np.testing.assert_allclose(np.abs(found - data), np.abs(data[..., None] - levels).min(axis=-1))
    own = np.tile(levels, (1, 1, 1)) * 2
    np.testing.assert_allclose(taken(own, places(own, data)), taken(levels * 2, places(levels * 2, data)))


def test_multiples_stay_within_reach_and_support() -> None:
    support = np.array([[[True, False]]])
    choose = on_multiples(np.full((1, 1, 2), 0.5), 3, support)
    assert [float(choose(np.array([[value]]), 0)[0, 0]) for value in (0.2, 0.3, -9.0)] == [0, 0.5, -1.5]
    assert float(choose(np.array([[9.0]]), 1)[0, 0]) == 0
    assert float(within(None, choose)(np.array([[9.0]]), 0)[0, 0]) == 1.5
