"""Weights as codes times a step, and as signs with two values a channel."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ir.storage.folding import folded
from workers.ir.storage.grid import find_grid, scaled
from workers.ir.storage.plan import cheapest
from workers.ir.storage.signs import find_signs, signed
from workers.ir.storage.values import element_plans

RNG = np.random.default_rng(0)


def floats(values: Any) -> Any:
    return np.asarray(values, np.float32)


def codes(*shape: int) -> Any:
    return floats(RNG.integers(-7, 8, shape))


def steps(*shape: int) -> Any:
    return floats(RNG.uniform(0.01, 2, shape))


@pytest.mark.parametrize(
    ("shape", "step_shape", "kept"),
    [
        ((6, 4), (), 1),
        ((6, 4), (6, 1), 6),
        ((6, 4), (1, 4), 4),
        ((6, 4), (6, 4), 24),
        ((6, 4, 3, 3), (6, 1, 1, 1), 6),
        ((6, 4, 3, 3), (6, 4, 1, 1), 24),
        ((1, 1), (1, 1), 1),
    ],
)
def test_the_step_is_kept_once_for_every_block(shape: tuple[int, ...], step_shape: tuple[int, ...], kept: int) -> None:
    step, wanted = steps(*step_shape), codes(*shape)
    grid = find_grid(wanted * step, step)
    assert grid is not None
    assert grid.step.size == kept
    np.testing.assert_array_equal(grid.codes.reshape(shape), wanted)
    np.testing.assert_array_equal((grid.codes * grid.step).reshape(shape), wanted * step)


def test_a_step_that_is_the_same_for_blocks_of_a_row_is_kept_by_the_block() -> None:
    block = steps(2, 3)
    step = np.repeat(block, 8, axis=1)
    grid = find_grid(codes(2, 24) * step, step)
    assert grid is not None
    assert grid.codes.shape == (2, 3, 8)
    np.testing.assert_array_equal(grid.step.reshape(2, 3), block)


def test_a_block_may_run_across_a_kernel() -> None:
    """Blocks of 12 in rows of 4 channels with 3 x 3 kernels: no axis by itself shows them."""
    step = np.repeat(steps(5, 3), 12, axis=1).reshape(5, 4, 3, 3)
    grid = find_grid(codes(5, 4, 3, 3) * step, step)
    assert grid is not None
    assert grid.step.size == 15


def test_a_step_of_zero_stands_for_weights_of_zero() -> None:
    step = floats([[0.0], [0.5]])
    grid = find_grid(floats([[0, 0], [1, -1]]), step)
    assert grid is not None
    assert grid.codes.tolist() == [[0, 0], [2, -2]]
    assert find_grid(floats([[0, 1], [1, -1]]), step) is None


def test_codes_are_never_minus_zero() -> None:
    grid = find_grid(floats([[-0.0, 0.0, -0.25]]), floats(0.5))
    assert grid is not None
    assert not np.signbit(grid.codes[grid.codes == 0]).any()


def test_a_wrong_step_finds_nothing() -> None:
    assert find_grid(codes(4, 4) * floats(0.1) + floats(0.013), floats(0.3)) is None


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    along=st.integers(0, 3),
    seed=st.integers(0, 999),
)
def test_what_is_found_gives_the_tensor_back(shape: list[int], along: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    step_shape = [size if axis == along else 1 for axis, size in enumerate(shape)]
    step = floats(rng.uniform(0.001, 3, step_shape))
    tensor = floats(rng.integers(-200, 200, shape)) * step
    grid = find_grid(tensor, step)
    assert grid is not None
    plan = scaled(cheapest(element_plans(grid.codes)), grid, tensor.shape)
    decoded = folded(plan)
    assert decoded.shape == tensor.shape
    np.testing.assert_array_equal(decoded, tensor)


# signs


@pytest.mark.parametrize("channel_axes", [(0,), (0, 1), (-1,)])
def test_signs_of_channels_on_the_first_axes_or_the_last(channel_axes: tuple[int, ...]) -> None:
    shape = (4, 3, 8, 5)
    axes = [axis % 4 for axis in channel_axes]
    spread = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    above, below = steps(*spread), steps(*spread)
    sign = RNG.integers(-1, 2, shape)
    tensor = floats(np.where(sign > 0, above, np.where(sign < 0, -below, 0)))
    found = find_signs(tensor)
    assert found is not None
    np.testing.assert_array_equal(found.codes, sign)
    np.testing.assert_array_equal(np.where(found.codes > 0, found.above, found.below) * found.codes, tensor)
    np.testing.assert_array_equal(folded(signed(cheapest(element_plans(found.codes)), found)), tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        [[0.5, 0.5, 0.0, 0.25]],  # two positive values
        [[-0.5, -0.25, 0.0, 1.0]],
        [1.0, -1.0, 0.0],  # one axis has no channels
        [[1.0, 2.0], [3.0, 4.0]],  # too few in a channel to say anything
    ],
)
def test_other_tensors_have_no_signs(tensor: Any) -> None:
    assert find_signs(floats(tensor)) is None


@pytest.mark.parametrize("row", [[0.0, 0, 0], [2.0, 2, 2], [-2.0, -2, -2], [2.0, 0, 0], [0.0, -2, -2]])
def test_a_channel_may_lack_a_sign(row: list[float]) -> None:
    found = find_signs(floats([row, [1, -1, 0]]))
    assert found is not None
    np.testing.assert_array_equal(np.where(found.codes > 0, found.above, found.below) * found.codes, [row, [1, -1, 0]])
    assert (found.above >= 0).all()
    assert (found.below >= 0).all()
