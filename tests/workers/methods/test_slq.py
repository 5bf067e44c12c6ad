import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.methods.problems import KINDS, problem
from workers.methods.problem import half
from workers.methods.slq import PORTIONS, Slq, first_levels
from workers.methods.solvers.clusters import ScaledLevels


def test_clusters_start_at_zero_and_powers_of_two() -> None:
    np.testing.assert_array_equal(first_levels(np.array([0.9, -1.3]), 3), [-1, -0.5, 0, 0.5, 1])
    assert first_levels(np.ones(3), 5).size == 17
    np.testing.assert_array_equal(first_levels(np.zeros(3), 5), [0])


def test_the_default_portions_freeze_what_the_released_alexnet_does() -> None:
    np.testing.assert_array_equal(np.rint(np.array(PORTIONS) * 17), [5, 9, 13, 15, 17])


@pytest.mark.parametrize("portions", [PORTIONS, (0.5, 1.0), (0.01, 1.0), (1.0,)])
@pytest.mark.parametrize("kind", KINDS)
def test_freezing_leaves_every_weight_in_a_cluster(kind: str, portions: tuple[float, ...]) -> None:
    posed = problem(kind)
    book = ScaledLevels(first_levels(posed.original, 3), np.ones((1, 6, 1)))
    weight, found = Slq(bits=3, portions=portions)._incremental(posed, book)
    assert found.levels.size <= 5
    assert np.isin(weight, found.levels).all()


def test_freezing_serves_better_than_sharing_at_once() -> None:
    posed = problem(shape=(1, 16, 48))
    book = ScaledLevels(first_levels(posed.original, 3), np.ones((1, 16, 1)))
    errors = [posed.error(Slq(bits=3, portions=portions)._incremental(posed, book)[0]) for portions in ((1.0,), PORTIONS)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("rounds", [0, 6])
@given(st.integers(0, 2**16), st.sampled_from([2, 3, 4]))
def test_weights_are_levels_that_all_rows_share_times_a_scale_for_each(rounds: int, seed: int, bits: int) -> None:
    posed = problem(shape=(1, 8, 16), seed=seed).in_units_of(np.geomspace(1e-3, 1e3, 8)[:, None])
    solution = Slq(bits=bits, rounds=rounds).solve(posed, np.random.default_rng(0))
    levels = np.unique(solution.weight / solution.scale)
    assert levels.size <= 2 ** (bits - 1) + 1
    np.testing.assert_array_equal(half(levels), levels)
    np.testing.assert_array_equal(solution.weight.astype(np.float32), solution.weight)


def test_rows_of_any_size_are_served_alike() -> None:
    posed = problem(shape=(1, 8, 32))
    scale = np.exp2(np.arange(-8, 8, 2.0))[:, None]
    small = Slq(bits=3).solve(posed.in_units_of(scale), np.random.default_rng(0)).weight
    np.testing.assert_allclose(small * scale, Slq(bits=3).solve(posed, np.random.default_rng(0)).weight)


def test_a_layer_with_more_bits_than_a_recipe_can_ask_for_has_no_milder_setting() -> None:
    assert Slq(bits=4).at_bits(8).milder() is None
    assert Slq(bits=4).at_bits(5).milder() == ("bits", 6)
