"""Work that several threads share, in pieces that leave no trace of how many threads there were.

NumPy, BLAS and OpenVINO let go of Python's lock while they work, so that threads of Python work beside one another. BLAS is
to keep to the thread that calls it: threads of its own spin where they wait for one another, and take the processors from
those of the runtime.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Item = TypeVar("Item")

BLOCK = 128  # rows and columns of a product: BLAS computes an entry of whole blocks in one way, wherever the product is cut
VALUES_AT_ONCE = 2**18  # of rows that are worked on together: they stay in the processor's cache
WORTH = 2**24  # operations of a part of a product that pay for handing it to a thread


class Threads:
    """`count` threads, the caller's among them. What they do for it must not ask them in turn."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(count - 1) if count > 1 else None

    def each(self, work: Callable[[Item], object], items: Iterable[Item]) -> None:
        """Call `work` on all items, in any order; raises what one of the calls raises."""
        listed = list(items)
        left = iter(listed)

        def take() -> None:
            for item in left:
                work(item)

        helpers = [self._others.submit(take) for _ in range(min(self.count, len(listed)) - 1)] if self._others else []
        take()
        for helper in helpers:
            helper.result()

    def by_rows(self, function: Callable[..., NDArray[Any]], *values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """A function of arrays (g, r, c), entry by entry, as a new array of type `dtype`."""
        found = np.empty(values[0].shape, dtype)

        def some_rows(part: slice) -> None:
            found[:, part] = function(*(value[:, part] for value in values))

        self.each(some_rows, parts_of_rows(found))
        return found

    def converted(self, values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """An array (g, r, c) of another type, or itself where it is of that type."""
        return values if values.dtype == dtype else self.by_rows(np.asarray, values, dtype=dtype)

    def product(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        """`left` (..., n, k) times `right` (..., k, m), cut along the longer side of the product."""
        rows, columns = left.shape[-2], right.shape[-1]
        found = np.empty((*left.shape[:-1], columns), np.result_type(left, right))
        worth = 2 * found.size * left.shape[-1] // WORTH
        parts = min(self.count, worth) if found.dtype == np.float32 else 1  # double precision is for the narrow

        def some_rows(part: slice) -> None:
            np.matmul(left[..., part, :], right, out=found[..., part, :])

        def some_columns(part: slice) -> None:
            np.matmul(left, right[..., part], out=found[..., part])

        if rows > columns:
            self.each(some_rows, pieces(rows, parts))
        else:
            self.each(some_columns, pieces(columns, parts))
        return found


ALONE = Threads()


def pieces(length: int, parts: int) -> Sequence[slice]:
    """A range of `length` in up to `parts` slices, at least one, of whole blocks each; what is left over goes to the last."""
    blocks = length // BLOCK
    bounds = np.linspace(0, blocks, max(min(parts, blocks), 1) + 1).round().astype(int) * BLOCK
    bounds[-1] = length
    return [slice(start, stop) for start, stop in pairwise(bounds.tolist())]


def parts_of_rows(values: NDArray[Any]) -> Sequence[slice]:
    """The rows of `values` (g, r, c) in parts of about VALUES_AT_ONCE."""
    groups, rows, cols = values.shape
    some = max(VALUES_AT_ONCE // (groups * cols), 1)
    return [slice(start, start + some) for start in range(0, rows, some)]
