"""Iterated function systems and their pictures, against geometry done by hand and by SciPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve

from fractal_data.ifs import (
    CONTRACTION,
    area,
    chaos_game,
    compose,
    fixed_point,
    pieces,
    probabilities,
    rotations,
    sample_code,
    sample_singular_values,
)
from fractal_data.render import SLENDERNESS, density, measured, neighbourhood, sample_view, smooth, sparse, window

SEEDS = st.integers(0, 2**32)
SIERPINSKI = np.array([[[0.5, 0, x], [0, 0.5, y]] for x, y in ((0, 0), (0.5, 0), (0, 0.5))])


def code(seed: int, maps: int = 3) -> Any:
    return sample_code(np.random.default_rng(seed), maps)


def applied(affine: Any, point: Any) -> Any:
    return affine[:, :2] @ point + affine[:, 2]


@given(SEEDS)
def test_composition_is_one_map_after_the_other(seed: int) -> None:
    outer, inner, *_ = code(seed)
    point = np.random.default_rng(seed).normal(size=2)
    np.testing.assert_allclose(applied(compose(outer, inner), point), applied(outer, applied(inner, point)), atol=1e-12)


@given(SEEDS)
def test_a_fixed_point_stays(seed: int) -> None:
    affine = code(seed)[0]
    np.testing.assert_allclose(applied(affine, fixed_point(affine)), fixed_point(affine), rtol=1e-6, atol=1e-6)


@given(SEEDS, st.integers(2, 16))
def test_probabilities_are_shares_of_area(seed: int, maps: int) -> None:
    found = probabilities(code(seed, maps))
    assert found.sum() == pytest.approx(1)
    assert found.min() > 0


def test_probabilities_of_the_sierpinski_triangle_are_equal_and_a_line_is_drawn_too() -> None:
    np.testing.assert_allclose(probabilities(SIERPINSKI), [1 / 3] * 3)
    flat = np.array([[[0.5, 0, 0], [0, 0, 0]]] * 2)  # no area at all
    np.testing.assert_allclose(probabilities(flat), [0.5, 0.5])


@given(SEEDS)
def test_area_is_the_determinant(seed: int) -> None:
    maps = code(seed, 4)
    np.testing.assert_allclose(area(maps), np.abs(np.linalg.det(maps[:, :, :2])), atol=1e-12)


@given(SEEDS)
def test_rotations_keep_lengths_and_sides(seed: int) -> None:
    turns = rotations(np.random.default_rng(seed), 5)
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(2), (5, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), np.ones(5))


@given(seed=SEEDS, maps=st.integers(1, 8), share=st.floats(0, 1))
def test_singular_values_keep_their_total_and_contract(seed: int, maps: int, share: float) -> None:
    total = share * 3 * CONTRACTION * maps
    values = sample_singular_values(np.random.default_rng(seed), maps, total)
    assert np.sum(values * (1, 2)) == pytest.approx(total)
    assert values.max() <= CONTRACTION + 1e-9
    assert values.min() >= -1e-9
    assert (values[:, 0] >= values[:, 1] - 1e-9).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30])
def test_pieces_together_are_the_attractor(count: int) -> None:
    found = pieces(SIERPINSKI, count)
    assert count <= len(found) < count + len(SIERPINSKI)
    divisions = (len(found) - 1) // 2
    assert area(found).sum() == pytest.approx(sum_of_areas(divisions))
    assert area(found).max() <= 4 * area(found).min() + 1e-12  # the largest was divided first


def sum_of_areas(divisions: int) -> float:
    """Every division of a piece of the Sierpinski triangle takes a quarter of its area away."""
    areas = [1.0]
    for _ in range(divisions):
        areas.sort()
        areas += [areas.pop() / 4] * 3
    return sum(areas)


def test_a_chain_stays_in_the_attractor() -> None:
    x, y = chaos_game(np.random.default_rng(0), SIERPINSKI, 64, 8)
    assert x.shape == (512,)
    assert x.min() >= 0
    assert y.min() >= 0
    assert (x + y).max() <= 1 + 1e-6


# pictures of them


def test_smoothing_is_a_binomial_filter() -> None:
    plane = np.random.default_rng(0).random((9, 12)).astype(np.float32)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_allclose(smooth(plane), convolve(plane, kernel)[1:-1, 1:-1], rtol=1e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_density_is_a_smoothed_histogram(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cloud = rng.normal(size=(2, 300)).astype(np.float32)
    maps = np.stack([np.column_stack([rng.normal(size=(2, 2)) * 3, rng.uniform(0, 16, 2)]) for _ in range(2)])
    height, width = 13, 17
    expected = np.zeros((height + 4, width + 4))
    for affine in maps.astype(np.float32):
        x, y = affine[:, :2] @ cloud + affine[:, 2:] + 2
        np.add.at(expected, (np.clip(y, 0, height + 3).astype(int), np.clip(x, 0, width + 3).astype(int)), 1)
    smoothed = convolve(expected, np.outer([1, 2, 1], [1, 2, 1]) / 16)[2:-2, 2:-2]
    found = density(cloud, maps, height, width)
    assert found.shape == (height, width)
    assert np.mean(np.abs(found - smoothed) > 1e-4) < 0.05  # a point on the edge of a cell may fall on either side


def test_a_view_has_the_extent_and_the_slenderness_that_it_should() -> None:
    rng = np.random.default_rng(0)
    thin = (rng.normal(size=(2, 4096)) * [[5], [0.01]]).astype(np.float32)
    fractal = measured(code(0), thin)
    view = sample_view(rng, fractal, 200, 100, 0.5)
    seen = view[:, :2] @ (thin - fractal.centre[:, None])
    deviations = np.sqrt(np.linalg.eigvalsh(np.cov(seen)))
    assert 4 * np.sqrt(np.sum(deviations**2)) == pytest.approx(0.5 * 100, rel=0.05)
    assert deviations[0] / deviations[1] == pytest.approx(SLENDERNESS, rel=0.05)
    x, y = applied(view, fractal.centre)
    assert 15 <= x <= 85
    assert 30 <= y <= 170


def test_a_point_has_a_finite_view() -> None:
    fractal = measured(code(0), np.ones((2, 10), np.float32))
    assert np.isfinite(sample_view(np.random.default_rng(0), fractal, 8, 8, 1)).all()


def test_a_window_has_a_pixel_even_where_nothing_is_seen() -> None:
    cloud = np.array([[0, 1], [0, 1]], np.float32)
    view = np.eye(2, 3)
    assert window(view, cloud, 10, 20) == (slice(0, 2), slice(0, 2))
    for shift, rows, columns in (((-50, -50), slice(0, 1), slice(0, 1)), ((50, 50), slice(9, 10), slice(19, 20))):
        view[:, 2] = shift
        assert window(view, cloud, 10, 20) == (rows, columns)


@given(points=st.integers(1, 500), count=st.floats(0.1, 600))
def test_a_sparse_cloud_has_about_as_many_points(points: int, count: float) -> None:
    kept = sparse(np.arange(2 * points, dtype=np.float32).reshape(2, -1), count).shape[1]
    assert min(points, count) <= kept + 1e-9
    assert kept <= max(2 * count + 1, 1)


def test_a_neighbourhood_is_an_average() -> None:
    flat = np.full((10, 13), 3, np.float32)
    np.testing.assert_allclose(neighbourhood(flat), flat, rtol=1e-6)
    plane = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    found = neighbourhood(plane)
    assert found.shape == plane.shape
    assert found.std() < plane.std() / 2
    assert found.mean() == pytest.approx(plane.mean(), rel=0.02)
