"""Sums of products of rows, in the least memory and with the fewest operations."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from workers.engine.blas import add_products
from workers.methods.problem import SINGLE_PRECISION_FROM, Array, Work
from workers.methods.solvers.triangles import mirror
from workers.threads import ALONE, BLOCK, WORTH, Threads

Float32 = NDArray[np.float32]


class Gram:
    """Σ y yᵀ of rows y with `cols` values, for each of `groups` groups.

    Where a single group has many columns BLAS adds rows to one triangle in place, in float32: half the operations, and no
    product of its own, which takes 85 MB for 4,608 columns. All else is summed in float64.
    """

    def __init__(self, groups: int, cols: int, threads: Threads = ALONE) -> None:
        self._threads = threads
        self._triangular = _in_one_triangle(groups, cols)
        self._sum: Work = np.zeros((groups, cols, cols), np.float32 if self._triangular else np.float64)

    def add(self, rows: Float32) -> None:
        """Count rows (g, n, c)."""
        if self._triangular:
            every, total = np.ascontiguousarray(rows[0]), self._sum[0]
            self._threads.each(lambda part: add_products(every, part, total), self._parts(len(every)))
        else:
            self._sum += cross_product(rows, rows)

    def _parts(self, count: int) -> Sequence[slice]:
        """The rows of the triangle in parts of about as many entries each, as `count` rows of y are worth."""
        cols = self._sum.shape[1]
        parts = max(min(self._threads.count, cols // BLOCK, count * cols**2 // WORTH), 1)
        bounds = [round(cols / BLOCK * sqrt(part / parts)) * BLOCK for part in range(parts)]
        return [slice(start, stop) for start, stop in pairwise([*bounds, cols])]

    def inner(self, other: "Gram") -> Array:
        """Σ of the products of all entries with those of another sum, by group."""
        whole = np.einsum("gij,gij->g", self._sum, other._sum, dtype=np.float64)
        if not self._triangular:
            return np.asarray(whole)
        return np.asarray(2 * whole - np.einsum("gc,gc->g", self.diagonal, other.diagonal))

    @property
    def diagonal(self) -> Array:
        """Σ y², (g, c)."""
        return np.asarray(np.einsum("gcc->gc", self._sum), np.float64)

    def whole(self, *others: "Gram") -> Work:
        """The sum (g, c, c) of this and `others`, in memory of its own."""
        sums = [self._sum, *(other._sum for other in others)]
        total = self._threads.by_rows(lambda *parts: reduce(np.add, parts), *sums, dtype=self._sum.dtype)
        if self._triangular:
            mirror(total[0], self._threads)
        return total


def gram_bytes(groups: int, cols: int) -> int:
    """What a `Gram` takes."""
    return groups * cols**2 * (4 if _in_one_triangle(groups, cols) else 8)


def _in_one_triangle(groups: int, cols: int) -> bool:
    return groups == 1 and cols > SINGLE_PRECISION_FROM


def cross_product(left: Float32, right: Float32, threads: Threads = ALONE) -> Float32:
    """leftᵀ right over the rows: (g, n, a), (g, n, b) -> (g, a, b)."""
    return threads.product(left.swapaxes(1, 2), right)
