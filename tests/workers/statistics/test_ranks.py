"""Ranks against those of scipy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workers.statistics.ranks import rank_bounds


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_bounds_are_the_least_and_the_largest_rank_of_a_tie(numbers: list[int]) -> None:
    values = np.array(numbers, float)
    smaller, up_to = rank_bounds(values)
    np.testing.assert_array_equal(smaller, stats.rankdata(values, method="min") - 1)
    np.testing.assert_array_equal(up_to, stats.rankdata(values, method="max"))
