"""The unconstrained optimum of a layer, from its second-order statistics."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from workers.methods.problem import Array, Work, working_precision


def solve_normal_equations(hessian: Work, pull: Array) -> Array:
    """Return `pull` H⁻¹ (g, r, c) with H `hessian` (g, c, c), by Cholesky decomposition, group by group."""
    dtype = working_precision(hessian)
    return np.stack([_solve(np.array(h.T, dtype, order="F"), p.astype(dtype)) for h, p in zip(hessian, pull, strict=True)])


def _solve(hessian: Work, pull: Work) -> Array:
    """The same of one group, in the memory of both, which LAPACK takes column by column."""
    factor = cho_factor(hessian, lower=True, overwrite_a=True)
    return np.asarray(cho_solve(factor, pull.T, overwrite_b=True).T, np.float64)
