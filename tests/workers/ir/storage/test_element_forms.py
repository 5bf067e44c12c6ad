"""Element by element: which narrower types hold which numbers, exactly; symbols packed into words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ir.storage.folding import folded
from workers.ir.storage.plan import NODE_BYTES, StoragePlan, cheapest
from workers.ir.storage.symbols import MOST_LEVELS, packed_bytes, symbol_plans, width_of
from workers.ir.storage.values import element_plans, number_bits


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def schemes(values: Any) -> set[str]:
    return {plan.scheme for plan in element_plans(values)}


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (floats(7, -8), 4),
        (floats(0), 4),
        (floats(8), 8),
        (floats(-9), 8),
        (floats(127, -128), 8),
        (floats(128), 16),
        (floats(-129), 16),
        (floats(32767, -32768), 16),
        (floats(32768), 8),  # a power of two beyond i16
        (floats(65536, 3 * 65536), 16),  # whole numbers that bfloat16 alone holds
        (floats(65504), 16),  # the greatest float16, no i16
        (floats(32769), 32),
        (floats(0.5, -1.75), 8),
        (floats(0.1), 32),
        (floats(0.0999755859375), 16),  # 0.1 in float16
        (floats(2.0**-24), 16),  # the least float16: float8 ends at 2^-16
        (floats(2.0**-16), 8),
        (floats(2.0**-25), 16),  # bfloat16
        (floats(2.0**-133), 16),  # the least bfloat16
        (floats(3.4028234663852886e38), 32),
        (np.array([7, -8], np.int8), 4),
        (np.array([8], np.int8), 8),
        (np.array([-128, 127], np.int8), 8),
    ],
)
def test_the_narrowest_type_that_holds_all_numbers(values: Any, bits: int) -> None:
    assert number_bits(values) == bits


@pytest.mark.parametrize(
    ("scheme", "patterns"),
    [
        ("f8e5m2", (np.arange(2**8, dtype=np.uint16) << 8).view(np.float16)),
        ("f16", np.arange(2**16, dtype=np.uint16).view(np.float16)),
        ("bf16", (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)),
    ],
)
def test_every_number_of_a_floating_type_survives(scheme: str, patterns: Any) -> None:
    values = patterns[np.isfinite(patterns)].astype(np.float32)
    (plan,) = (plan for plan in element_plans(values) if plan.scheme == scheme)
    np.testing.assert_array_equal(folded(plan), values)
    assert plan.bytes == values.size * (1 if scheme == "f8e5m2" else 2)


@pytest.mark.parametrize(("scheme", "bits"), [("i4", 4), ("i8", 8), ("i16", 16)])
def test_every_number_of_an_integer_type_survives(scheme: str, bits: int) -> None:
    values = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1), dtype=np.float32)
    (plan,) = (plan for plan in element_plans(values) if plan.scheme == scheme)
    decoded = folded(plan)
    np.testing.assert_array_equal(decoded, values)
    assert decoded.dtype == np.float32
    assert scheme not in schemes(np.append(values, values[-1] + 1).astype(np.float32))


@settings(max_examples=30)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_no_form_is_offered_that_loses_a_number(numbers: list[float]) -> None:
    values = floats(*numbers) + np.float32(0)
    for plan in element_plans(values):
        np.testing.assert_array_equal(folded(plan), values, err_msg=plan.scheme)


def test_integers_that_come_as_such_are_decoded_as_such() -> None:
    values = np.array([[-8, 7], [0, 1]], np.int8)
    for plan in element_plans(values):
        decoded = folded(plan)
        assert decoded.dtype == np.int8, plan.scheme
        np.testing.assert_array_equal(decoded, values)
    assert schemes(values) == {"i8", "i4", "u2 table"}


def test_tables_end_at_what_a_byte_tells_apart() -> None:
    assert "u8 table" in schemes(np.arange(MOST_LEVELS, dtype=np.float32) * 0.1)
    assert not any("table" in scheme for scheme in schemes(np.arange(MOST_LEVELS + 1, dtype=np.float32) * 0.1))


def test_many_levels_after_a_uniform_beginning_are_not_put_into_a_table() -> None:
    values = np.concatenate([np.zeros(5000), np.arange(300) * 0.1]).astype(np.float32)
    assert schemes(values) == {"f32"}


# symbols


@pytest.mark.parametrize(
    ("levels", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (16, 4), (17, 6), (64, 6), (65, 8), (256, 8)]
)
def test_the_width_that_tells_levels_apart(levels: int, width: int) -> None:
    assert width_of(levels) == width


@pytest.mark.parametrize(
    ("count", "width", "size"),
    [(0, 1, 0), (1, 1, 1), (8, 1, 1), (9, 1, 2), (5, 2, 2), (1, 3, 3), (8, 3, 3), (9, 3, 6), (3, 4, 2), (4, 6, 3), (5, 6, 6)]
    + [(7, 8, 7)],
)
def test_bytes_of_packed_elements(count: int, width: int, size: int) -> None:
    assert packed_bytes(count, width) == size


@settings(max_examples=30)
@given(
    levels=st.integers(1, MOST_LEVELS),
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_symbols_come_back(levels: int, shape: list[int], seed: int) -> None:
    symbols = np.random.default_rng(seed).integers(0, levels, shape)
    symbols.flat[-1] = levels - 1
    for plan in symbol_plans(symbols, levels):
        decoded = folded(plan)
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded, symbols, err_msg=plan.scheme)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (2, {"u1"}),  # a word holds no more of them than bits do
        (3, {"u2", "u8 base 3", "u16 base 3"}),  # 3^5 = 243 <= 256
        (4, {"u2"}),
        (6, {"u3", "u8 base 6", "u16 base 6"}),  # 6^3 = 216, 6^6 = 46656
        (7, {"u3"}),  # 7^2 and 7^5 hold no more than three bits each do
        (9, {"u4", "u16 base 9"}),  # 9^5 = 59049 <= 65536, 9^2 in a byte as two nibbles
        (16, {"u4"}),
        (40, {"u6", "u16 base 40"}),  # 40^3 = 64000
        (41, {"u6"}),
        (256, {"u8"}),
    ],
)
def test_a_base_is_offered_where_it_holds_more_than_bits_do(levels: int, expected: set[str]) -> None:
    assert {plan.scheme for plan in symbol_plans(np.arange(levels), levels)} == expected


# plans


def plan(size: int, nodes: int, name: str = "") -> StoragePlan:
    def build(graph: Any) -> Any:
        raise AssertionError("a plan was built before it was chosen")

    return StoragePlan(name, size, nodes, build)


def test_operations_cost_what_they_take_in_the_file() -> None:
    assert plan(100, 3).cost == 100 + 3 * NODE_BYTES
    assert cheapest([plan(1000, 1, "plain"), plan(0, 5, "clever")]).scheme == "plain"
    assert cheapest([plan(100_000, 1, "plain"), plan(0, 5, "clever")]).scheme == "clever"


def test_the_first_of_equal_plans_is_taken() -> None:
    assert cheapest([plan(5, 1, "first"), plan(5, 1, "second")]).scheme == "first"
