"""The unconstrained optimum of a layer, from its second-order statistics."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from workers.methods.problem import Array, Work, working_precision
from workers.threads import ALONE, Threads, pieces


def solve_normal_equations(hessian: Work, pull: Array, threads: Threads = ALONE) -> Array:
    """Return `pull` H⁻¹ (g, r, c) with H `hessian` (g, c, c), by Cholesky decomposition; of many groups at once, by LU.

    Raises LinAlgError where one H is singular, and of a single group also where it is not positive definite.
    """
    dtype = working_precision(hessian)
    if len(hessian) > 1:
        solved = np.linalg.solve(hessian.astype(dtype, copy=False), pull.swapaxes(1, 2).astype(dtype, copy=False))
        return np.asarray(solved.swapaxes(1, 2), np.float64)
    copy = threads.by_rows(np.asarray, hessian, dtype=dtype)
    factor = cho_factor(copy[0].T, lower=True, overwrite_a=True)
    solved = np.empty(pull.shape)

    def some_rows(part: slice) -> None:
        solved[0, part] = cho_solve(factor, pull[0, part].T.astype(dtype), overwrite_b=True).T

    threads.each(some_rows, pieces(pull.shape[1], threads.count))
    return solved
