"""The unconstrained optimum of a layer, from its second-order statistics."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from workers.methods.problem import Array, working_precision


def solve_normal_equations(hessian: Array, pull: Array) -> Array:
    """Return `pull` H⁻¹ (g, r, c) with H `hessian` (g, c, c), by Cholesky decomposition, group by group."""
    dtype = working_precision(hessian)
    rows = [cho_solve(cho_factor(h.astype(dtype), lower=True), p.T.astype(dtype)).T for h, p in zip(hessian, pull, strict=True)]
    return np.stack(rows).astype(np.float64)
