"""Symmetric matrices of which BLAS has written one triangle."""

import numpy as np

from workers.methods.problem import Work
from workers.threads import ALONE, Threads

ROWS_AT_ONCE = 64  # whose tiles stay in the cache


def mirror(matrix: Work, threads: Threads = ALONE) -> None:
    """Write the lower triangle of a matrix (c, c) over the upper one."""

    def some_rows(start: int) -> None:
        stop = start + ROWS_AT_ONCE
        corner = np.tril(matrix[start:stop, start:stop])
        matrix[start:stop, start:stop] = corner + np.tril(corner, -1).T
        matrix[start:stop, stop:] = matrix[stop:, start:stop].T

    threads.each(some_rows, range(0, len(matrix), ROWS_AT_ONCE))
