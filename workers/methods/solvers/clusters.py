"""Codebooks that are learnt: k-means with one cluster held at zero, and centroids fitted in the metric of H."""

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, single, working_precision
from workers.methods.solvers.column_pass import coordinate_descent, descend, nearest

TERNARY_THRESHOLD = 0.7  # of mean|w|: Li, Zhang, Liu, "Ternary Weight Networks" (2016), section 2.2
FITTED = 1e-10  # of the first residual's energy: the centroids are found


def ternary_levels(weight: Array) -> Array:
    """Zero and the means of the weights beyond the threshold on either side, sorted; a side without any has no level."""
    threshold = TERNARY_THRESHOLD * float(np.abs(weight).mean())
    sides = [weight[weight < -threshold], weight[weight > threshold]]
    return single(np.unique([0.0, *(float(side.mean()) for side in sides if side.size)]))


def k_means(values: Array, start: Array, iterations: int, held: Mask | None = None) -> Array:
    """Lloyd's algorithm on `values` from the sorted levels `start` (k,); the zero, `held` (k,) and empty clusters stay.

    The clusters of sorted values are intervals, and their sums differences of one cumulative sum.
    """
    fixed = start == 0 if held is None else held | (start == 0)
    ordered = np.sort(values, axis=None)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    levels = start
    for _ in range(iterations):
        inner = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2, side="right")
        edges = np.concatenate([[0], inner, [ordered.size]])
        count = np.diff(edges)
        mean = np.diff(total[edges]) / np.maximum(count, 1)
        moved = np.sort(np.where((count > 0) & ~fixed, mean, levels))
        if np.array_equal(moved, levels):
            break
        levels = moved
    return single(levels)


def refit(problem: LayerProblem, weight: Array) -> tuple[Array, Array]:
    """The best values for the clusters of `weight` (g, r, c) other than zero: the weights with them, and the sorted levels.

    With B_k the indicator of cluster k, Ŵ = Σ a_k B_k is linear in a: the normal equations are A a = b with
    A_kl = ⟨B_k H, B_l⟩ and b_k = ⟨W* H, B_k⟩. They are solved by conjugate gradient, a product with H for each step and none
    for each cluster, from the present values on.
    """
    hessian = problem.hessian.astype(working_precision(problem.hessian), copy=False)
    levels, member = np.unique(weight, return_inverse=True)

    def sums(values: Array) -> Array:
        """Over each cluster (k,), nothing for the one at zero."""
        return np.where(levels == 0, 0.0, np.bincount(member.ravel(), values.ravel(), levels.size))

    curvature = np.einsum("gcc->gc", problem.hessian)[:, None, :]
    scale = 1 / np.maximum(sums(np.broadcast_to(curvature, weight.shape)), np.finfo(np.float64).tiny)
    residual = sums((problem.target - weight).astype(hessian.dtype) @ hessian)
    values, direction = levels.copy(), scale * residual
    energy = goal = float(residual @ direction)
    for _ in range(levels.size):
        image = sums(direction[member].reshape(weight.shape).astype(hessian.dtype) @ hessian)
        length = energy / max(float(direction @ image), np.finfo(np.float64).tiny)
        values += length * direction
        residual -= length * image
        previous, energy = energy, float(residual @ (scale * residual))
        if energy <= FITTED * goal:
            break
        direction = scale * residual + energy / previous * direction
    fitted = single(values)
    return fitted[member].reshape(weight.shape), np.unique(np.append(fitted, 0.0))


def alternate(problem: LayerProblem, levels: Array, rounds: int, start: Array | None = None) -> Array:
    """Weights on learnt levels: choose the clusters, fit the centroids, in turn; the best round is returned."""
    weight = coordinate_descent(problem, nearest(levels, problem.support))
    if start is not None:
        weight = min(weight, start, key=problem.error)
    best, least = weight, problem.error(weight)
    for _ in range(rounds):
        fitted, levels = refit(problem, weight)
        weight = descend(problem, fitted, nearest(levels, problem.support))
        error = problem.error(weight)
        converged = error >= least * (1 - 1e-4)
        if error < least:
            best, least = weight, error
        if converged:
            break
    return best
