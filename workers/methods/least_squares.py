"""The solvers that methods share: least squares over the entries that a method leaves free.

All minimise tr((Ŵ − W*) H (Ŵ − W*)ᵀ), with W* `target` (g, r, c) and H `hessian` (g, c, c) positive definite.
"""

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, Work, working_precision

EFFORT = 1e10  # operations in products with H that one solve may take
ITERATIONS = (8, 60)  # fewest and most, whatever they take

ENOUGH = 20  # iterations for weights that will move again


def masked_least_squares(
    target: Array, hessian: Array, free: Mask, start: Array, *, iterations: int | None = None, tolerance: float = 1e-5
) -> Array:
    """Re-solve the entries where `free` is true and keep the others as in `start`; all (g, r, c).

    Conjugate gradient on all rows at once, preconditioned by the diagonal of H; a row stops counting when its residual has
    fallen by `tolerance`. Without `iterations` a layer gets as many as EFFORT allows: all that small layers can use, and few
    for the largest, where each takes a third of a second and the first ones do nearly all.
    """
    dtype = working_precision(hessian)
    metric: Work = hessian.astype(dtype)
    scale = 1 / np.einsum("gcc->gc", metric)[:, None, :]
    mask: Work = free.astype(dtype)
    residual: Work = mask * ((target - start).astype(dtype) @ metric)
    step = np.zeros_like(residual)
    direction = scale * residual
    energy = _dot(residual, direction)
    goal = energy * tolerance**2
    for _ in range(iterations or affordable_iterations(target)):
        active = energy > goal
        if not active.any():
            break
        image = mask * (direction @ metric)
        length = np.where(active, energy / np.maximum(_dot(direction, image), np.finfo(dtype).tiny), 0)
        step += length * direction
        residual -= length * image
        previous, energy = energy, _dot(residual, scale * residual)
        direction = scale * residual + energy / np.maximum(previous, np.finfo(dtype).tiny) * direction
    return np.where(free, start + step, start)


def re_solve(problem: LayerProblem, free: Mask, weight: Array) -> Array:
    """The free entries of `weight` (g, r, c), solved for between two portions of an incremental method.

    They are on their way to a level, and need not be exact.
    """
    iterations = min(ENOUGH, affordable_iterations(problem.target))
    return masked_least_squares(problem.target, problem.hessian, free, weight, iterations=iterations, tolerance=1e-3)


def affordable_iterations(target: Array) -> int:
    """How many products of a matrix like `target` (g, r, c) with its H make up EFFORT, within ITERATIONS."""
    product = 2 * target.size * target.shape[2]
    fewest, most = ITERATIONS
    return min(max(int(EFFORT / product), fewest), most)


def _dot(a: Work, b: Work) -> Work:
    """Row-wise inner product (g, r, 1)."""
    return np.asarray(np.einsum("grc,grc->gr", a, b)[..., None])
