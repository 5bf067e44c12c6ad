"""Work that threads share: all of it is done, and nothing tells how many they were."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - brings a BLAS of its own
from threadpoolctl import threadpool_info

from workers.threads import BLOCK, Threads, parts_of_rows, pieces

COUNTS = pytest.mark.parametrize("count", [1, 2, 5])
# Kernels of BLAS that round the last digit of an entry alike whatever its place in a part of a product.
ALIKE = {"SkylakeX", "Cooperlake", "SapphireRapids"}
ROUNDS_ALIKE = {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"} <= ALIKE


def assert_rounded_alike(one: Any, other: Any) -> None:
    if ROUNDS_ALIKE:
        np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@COUNTS
def test_every_item_is_worked_on_once(count: int) -> None:
    done: list[int] = []
    Threads(count).each(done.append, range(100))
    assert sorted(done) == list(range(100))


@COUNTS
def test_what_fails_in_a_thread_fails_for_the_caller(count: int) -> None:
    def fails_late(item: int) -> None:
        if item == 9:
            raise ValueError("nine")

    with pytest.raises(ValueError, match="nine"):
        Threads(count).each(fails_late, range(10))


@pytest.mark.parametrize("length", [1, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("parts", [0, 1, 2, 50])
def test_pieces_cover_a_range_in_whole_blocks(length: int, parts: int) -> None:
    found = pieces(length, parts)
    assert [place for piece in found for place in range(length)[piece]] == list(range(length))
    assert len(found) == 1 or min(piece.stop - piece.start for piece in found) >= BLOCK


@pytest.mark.parametrize("shape", [(300, 700, 500), (64, 576, 576), (1200, 130, 256), (4, 9, 5)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_is_the_same_for_any_number_of_threads(shape: Any, dtype: Any, turned: bool) -> None:
    rng, (rows, inner, columns) = np.random.default_rng(0), shape
    left, right = (rng.normal(size=(1, *sides)).astype(dtype) for sides in ((rows, inner), (inner, columns)))
    if turned:
        left = np.ascontiguousarray(left.swapaxes(1, 2)).swapaxes(1, 2)
    alone = Threads().product(left, right)
    np.testing.assert_allclose(alone, left.astype(np.float64) @ right, rtol=1e-3, atol=1e-3)
    for count in (2, 3, 4, 16):
        assert_rounded_alike(Threads(count).product(left, right), alone)


def test_a_function_of_entries_takes_rows_by_parts() -> None:
    values = np.random.default_rng(0).normal(size=(2, 700, 300)).astype(np.float32)
    assert len(parts_of_rows(values)) > 1
    found = Threads(2).by_rows(lambda one, other: one * other, values, values, dtype=np.float64)
    np.testing.assert_array_equal(found, values * values)
    copied = Threads(2).by_rows(np.asarray, values, dtype=np.float32)
    np.testing.assert_array_equal(copied, values)
    assert not np.shares_memory(copied, values)
    assert Threads(2).converted(values, np.float32) is values
