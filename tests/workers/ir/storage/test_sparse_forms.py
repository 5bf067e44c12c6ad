"""Survivors by a bitmap or by their gaps, and the bits of an ideal code."""

from math import log2
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ir.storage.folding import folded
from workers.ir.storage import constant_values, entropy_bits
from workers.ir.storage.graph import Graph
from workers.ir.storage.sparse import sparse_plans

RNG = np.random.default_rng(0)


def at(size: int, *places: int) -> Any:
    values = np.zeros(size, np.float32)
    values[list(places)] = RNG.normal(size=len(places)) + 5
    return values


@pytest.mark.parametrize(
    "values",
    [
        at(2, 0),
        at(2, 1),
        at(9, 0, 8),
        at(64, 63),
        at(1000, 999),  # one gap of many hops
        at(1000, 0, 255, 256, 511, 999),
        at(300, *range(0, 300, 3)),
        at(300, *range(1, 300)),
        at(24, 3, 4, 20).reshape(2, 3, 4),
        np.array([[0, -5, 0], [7, 0, 127]], np.int8),
    ],
    ids=lambda values: f"{values.shape}-{np.count_nonzero(values)}",
)
def test_survivors_come_back_to_their_places(values: Any) -> None:
    plans = list(sparse_plans(values))
    assert len(plans) == 2
    for plan in plans:
        decoded = folded(plan)
        assert decoded.dtype == values.dtype
        np.testing.assert_array_equal(decoded, values, err_msg=plan.scheme)


@settings(max_examples=40)
@given(size=st.integers(1, 2000), places=st.sets(st.integers(0, 1999), max_size=12))
def test_any_places_come_back(size: int, places: set[int]) -> None:
    inside = [place for place in places if place < size]
    values = np.zeros(size, np.float32)
    values[inside] = np.arange(1, len(inside) + 1)
    for plan in sparse_plans(values):
        np.testing.assert_array_equal(folded(plan), values, err_msg=plan.scheme)


@pytest.mark.parametrize("values", [np.zeros(9, np.float32), np.ones(9, np.float32), np.zeros((0, 3), np.float32)])
def test_nothing_and_everything_are_not_sparse(values: Any) -> None:
    assert list(sparse_plans(values)) == []


@pytest.mark.parametrize(("distance", "width"), [(1, 2), (3, 2), (7, 3), (15, 4), (63, 6), (255, 8)])
def test_the_width_of_gaps_follows_their_length(distance: int, width: int) -> None:
    values = np.zeros(distance * 400, np.float32)
    values[::distance] = RNG.normal(size=400)
    values[1] = 0 if distance > 1 else values[1]
    if distance == 1:
        values[5] = 0
    (gaps,) = (plan for plan in sparse_plans(values) if "gaps" in plan.scheme)
    assert gaps.scheme == f"u{width} gaps, f32"


# the bits of an ideal code


def test_a_sparse_weight_takes_its_mask_and_its_survivors() -> None:
    values = RNG.normal(size=10_000).astype(np.float32)
    values[:9000] = 0
    mask = -(0.9 * log2(0.9) + 0.1 * log2(0.1))
    assert entropy_bits(values) == pytest.approx(mask + 0.1 * 32)


def test_scales_stand_beside_the_values() -> None:
    values = np.tile(np.array([0, 1], np.float32), 500)
    assert entropy_bits(values, scales=10) - entropy_bits(values) == pytest.approx(10 * 32 / 1000)


def test_a_skewed_table_takes_less_than_its_width() -> None:
    values = np.repeat(np.array([0.1, 0.2, 0.3, 0.4], np.float32), [4096, 2048, 1024, 1024])
    assert entropy_bits(values) == pytest.approx(1.75 + 4 * 32 / 8192)


@given(levels=st.integers(1, 12), seed=st.integers(0, 99))
def test_no_code_takes_more_than_plain_numbers(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice(rng.normal(size=levels).astype(np.float32), 300)
    assert 0 <= entropy_bits(values) <= 32


@pytest.mark.parametrize("kind", ["u4", "i4"])
@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 3)])
def test_codes_of_four_bits_are_taken_apart(kind: str, shape: tuple[int, ...]) -> None:
    wanted = RNG.integers(0, 8, shape).astype(np.uint8)
    node = Graph("w", {}).constant(wanted, ov.Type.u4 if kind == "u4" else ov.Type.i4).get_node()
    found = constant_values(node)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted.reshape(-1))


def test_bytes_become_floats_and_floats_stay() -> None:
    assert constant_values(ops.constant(np.array([1, 255], np.uint8))).tolist() == [1.0, 255.0]
    assert constant_values(ops.constant(np.array([-0.5], np.float32))).tolist() == [-0.5]
    assert constant_values(ops.constant(np.array([-7], np.int8))).dtype == np.int8
