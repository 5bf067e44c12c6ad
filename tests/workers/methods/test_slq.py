import numpy as np
import pytest

from tests.workers.methods.problems import KINDS, problem
from workers.methods.slq import PORTIONS, Slq, first_levels


def test_clusters_start_at_zero_and_powers_of_two():
    np.testing.assert_array_equal(first_levels(np.array([0.9, -1.3]), 3), [-1, -0.5, 0, 0.5, 1])
    assert first_levels(np.ones(3), 5).size == 17
    np.testing.assert_array_equal(first_levels(np.zeros(3), 5), [0])


def test_the_default_portions_freeze_what_the_released_alexnet_does():
    np.testing.assert_array_equal(np.rint(np.array(PORTIONS) * 17), [5, 9, 13, 15, 17])


@pytest.mark.parametrize("portions", [PORTIONS, (0.5, 1.0), (0.01, 1.0), (1.0,)])
@pytest.mark.parametrize("kind", KINDS)
def test_freezing_leaves_every_weight_in_a_cluster(kind, portions):
    posed = problem(kind)
    method = Slq(bits=3, portions=portions, rounds=0)
    weight = method._incremental(posed, first_levels(posed.original, 3))
    assert np.unique(weight).size <= 5


def test_freezing_serves_better_than_sharing_at_once():
    posed = problem(shape=(1, 16, 48))
    levels = first_levels(posed.original, 3)
    errors = [posed.error(Slq(bits=3, portions=portions)._incremental(posed, levels)) for portions in ((1.0,), PORTIONS)]
    assert errors[1] < errors[0]
