"""Sums of products of rows, in the least memory and with the fewest operations."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk

from workers.methods.problem import SINGLE_PRECISION_FROM, Array, Work

Float32 = NDArray[np.float32]

MIRRORED_AT_ONCE = 512  # rows of a triangle


class Gram:
    """Σ y yᵀ of rows y with `cols` values, for each of `groups` groups.

    Where a single group has many columns BLAS adds rows to one triangle in place, in float32: half the operations, and no
    product of its own, which takes 85 MB for 4,608 columns. All else is summed in float64.
    """

    def __init__(self, groups: int, cols: int) -> None:
        self._triangular = _in_one_triangle(groups, cols)
        self._sum: Work = np.zeros((groups, cols, cols), np.float32 if self._triangular else np.float64)

    def add(self, rows: Float32) -> None:
        """Count rows (g, n, c)."""
        if self._triangular:
            ssyrk(1.0, np.ascontiguousarray(rows[0]).T, beta=1.0, c=self._sum[0].T, overwrite_c=True)
        else:
            self._sum += cross_product(rows, rows)

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
        total = self._sum.copy()
        for other in others:
            total += other._sum
        if self._triangular:
            _mirror(total[0])
        return total


def gram_bytes(groups: int, cols: int) -> int:
    """What a `Gram` takes."""
    return groups * cols**2 * (4 if _in_one_triangle(groups, cols) else 8)


def _in_one_triangle(groups: int, cols: int) -> bool:
    return groups == 1 and cols > SINGLE_PRECISION_FROM


def cross_product(left: Float32, right: Float32) -> Float32:
    """leftᵀ right over the rows: (g, n, a), (g, n, b) -> (g, a, b). One group alone takes BLAS's symmetric product."""
    if left.shape[0] > 1:
        return np.asarray(np.matmul(left.swapaxes(1, 2), right))
    return np.asarray((left[0].T @ right[0])[None])


def _mirror(triangle: Work) -> None:
    """Write the lower triangle of a matrix (c, c) over the upper one."""
    for start in range(0, len(triangle), MIRRORED_AT_ONCE):
        stop = start + MIRRORED_AT_ONCE
        corner = np.tril(triangle[start:stop, start:stop])
        triangle[start:stop, start:stop] = corner + np.tril(corner, -1).T
        triangle[start:stop, stop:] = triangle[stop:, start:stop].T
