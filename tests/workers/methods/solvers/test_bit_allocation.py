from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.methods.solvers.bit_allocation import bits_by_size

SIZES = st.lists(st.integers(1, 10**6), min_size=1, max_size=12)


def loss(bits: list[int] | tuple[int, ...]) -> float:
    return sum(4.0**-each for each in bits)


@given(SIZES, st.floats(2, 8))
def test_bits_keep_to_the_budget_and_their_limits(sizes: Any, mean: Any) -> None:
    bits = bits_by_size(sizes, mean, 2, 6)
    assert all(2 <= each <= 6 for each in bits)
    assert sum(size * each for size, each in zip(sizes, bits, strict=True)) <= mean * sum(sizes)


@given(SIZES, st.floats(2, 6))
def test_smaller_layers_have_no_fewer_bits(sizes: Any, mean: Any) -> None:
    ordered = sorted(sizes)
    bits = bits_by_size(ordered, mean, 2, 6)
    assert bits == sorted(bits, reverse=True)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.floats(2, 4))
def test_no_other_bits_lose_less_that_leave_a_bit_of_the_largest_layer(sizes: Any, mean: Any) -> None:
    bits = bits_by_size(sizes, mean, 2, 5)
    spent = mean * sum(sizes) - max(sizes)
    for other in product(range(2, 6), repeat=len(sizes)):
        if sum(size * each for size, each in zip(sizes, other, strict=True)) <= spent:
            assert loss(bits) <= loss(other) * (1 + 1e-9)


def test_layers_of_one_size_share_alike() -> None:
    assert bits_by_size([100] * 5, 4, 2, 8) == [4] * 5
    assert bits_by_size([100, 100], 4.5, 2, 8) == [5, 4]


def test_a_layer_of_a_sixteenth_has_two_bits_more() -> None:
    assert bits_by_size([1600, 100], 4.118, 2, 8) == [4, 6]


@pytest.mark.parametrize("mean", [2, 4, 8])
def test_nothing_is_left_to_choose_at_the_ends(mean: int) -> None:
    assert bits_by_size([10, 1000], mean, mean, mean) == [mean, mean]
