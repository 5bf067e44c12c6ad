"""Choosing levels: the weights of a layer moved onto a codebook, column by column, in the metric of H.

Both passes visit the columns in blocks, so that all but the work inside a block is matrix products, and hold their arrays as
(g, c, r), so that a column is contiguous. `choose` maps the best free values of one column (g, r) and the column's index to
allowed values (g, r); it holds the codebook, the support and any penalty.
"""

from collections.abc import Callable, Sequence

import numpy as np

from workers.methods.problem import Array, Indices, LayerProblem, Mask, Work, single, working_precision

Choose = Callable[[Array, int], Array]

BLOCK = 128  # columns


def column_pass(problem: LayerProblem, choose: Choose) -> Array:
    """One pass in order of falling curvature: each column is chosen to make up for the errors of those before it.

    With H = M Mᵀ, M upper triangular, the error of Ŵ is Σ_j M_jj² (ŵ_j − w*_j − Σ_{k<j} (w*_k − ŵ_k) M_kj / M_jj)². The pass
    minimises one term after another. It is GPTQ (Frantar et al. 2022, Algorithm 1) in the form of Chee et al. 2023, "QuIP",
    Eq. 2-3, which needs no inverse of H.
    """
    order = np.argsort(-np.einsum("gcc->c", problem.hessian), kind="stable")
    feedback = _feedback(problem.hessian[:, order][:, :, order].astype(np.float64))
    target = np.ascontiguousarray(problem.target[:, :, order].swapaxes(1, 2))  # (g, c, r)
    chosen = np.empty_like(target)
    gap = np.zeros(target.shape, feedback.dtype)  # target - chosen
    for start in range(0, target.shape[1], BLOCK):
        stop = min(start + BLOCK, target.shape[1])
        free = target[:, start:stop] + feedback[:, start:stop, :start] @ gap[:, :start]
        for j in range(start, stop):
            best = free[:, j - start] + (feedback[:, j, None, start:j] @ gap[:, start:j])[:, 0]
            chosen[:, j] = choose(best, int(order[j]))
            gap[:, j] = target[:, j] - chosen[:, j]
    result = np.empty_like(problem.target)
    result[:, :, order] = chosen.swapaxes(1, 2)
    return result


def _feedback(hessian: Array) -> Work:
    """M_kj / M_jj at (j, k), (g, c, c), with H = M Mᵀ and M upper triangular: the Cholesky factor from the last column on."""
    upper = np.linalg.cholesky(hessian[:, ::-1, ::-1])[:, ::-1, ::-1]
    upper /= np.einsum("gcc->gc", upper)[:, None, :]
    return np.ascontiguousarray(upper.swapaxes(1, 2), working_precision(hessian))


def descend(problem: LayerProblem, weight: Array, choose: Choose, sweeps: int = 3) -> Array:
    """Coordinate descent from `weight` (g, r, c): every column re-chosen given all others, until nothing changes.

    With `choose` the nearest level, no step raises `problem.error`.
    """
    hessian = problem.hessian.astype(working_precision(problem.hessian), copy=False)
    curvature = np.einsum("gcc->gc", problem.hessian)
    columns = np.ascontiguousarray(weight.swapaxes(1, 2))  # (g, c, r)
    deviation = (columns - problem.target.swapaxes(1, 2)).astype(hessian.dtype)
    slope = hessian @ deviation  # (g, c, r): half the gradient
    for _ in range(sweeps):
        changed = False
        for start in range(0, columns.shape[1], BLOCK):
            stop = min(start + BLOCK, columns.shape[1])
            moved = np.zeros_like(slope[:, start:stop])
            for j in range(start, stop):
                here = slope[:, j] + (hessian[:, j, None, start:j] @ moved[:, : j - start])[:, 0]
                chosen = choose(columns[:, j] - here / curvature[:, j, None], j)
                moved[:, j - start] = chosen - columns[:, j]
                columns[:, j] = chosen
            if moved.any():
                slope += hessian[:, :, start:stop] @ moved
                changed = True
        if not changed:
            break
    return np.ascontiguousarray(columns.swapaxes(1, 2))


def nearest(levels: Array, support: Mask | None = None) -> Choose:
    """The nearest of the sorted `levels`, (k,) or of every row its own (g, r, k); zero outside the `support` (g, r, c)."""
    return within(support, lambda values, column: taken(levels, places(levels, values)))


def places(levels: Array, values: Array) -> Indices:
    """Where in the sorted `levels`, (k,) or (g, r, k), the nearest of each of `values` (g, r, ...) is."""
    middles = (levels[..., 1:] + levels[..., :-1]) / 2
    if levels.ndim == 1:
        return np.searchsorted(middles, values)
    where = np.zeros(values.shape, np.intp)
    for middle in np.moveaxis(middles, 2, 0):
        where += values > middle.reshape(middle.shape + (1,) * (values.ndim - 2))
    return where


def taken(levels: Array, where: Indices) -> Array:
    """The values of `levels`, (k,) or (g, r, k), at `where` (g, r, ...)."""
    if levels.ndim == 1:
        return np.asarray(levels[where])
    flat = where.reshape(*levels.shape[:2], -1)
    return np.take_along_axis(levels, flat, axis=2).reshape(where.shape)


def on_multiples(step: Array, reach: float, support: Mask | None = None) -> Choose:
    """The nearest multiple of `step` (g, r, c) within ±`reach` steps, in float32; zero outside the `support` (g, r, c)."""
    widths = _by_column(step)

    def choose(values: Array, column: int) -> Array:
        width = widths[column]
        return single(width * np.clip(np.rint(values / width), -reach, reach))

    return within(support, choose)


def within(support: Mask | None, choose: Choose) -> Choose:
    """`choose`, but zero outside the `support` (g, r, c)."""
    if support is None:
        return choose
    allowed = _by_column(support)
    return lambda values, column: np.where(allowed[column], choose(values, column), 0.0)


def _by_column(values: Work) -> Work:
    return np.ascontiguousarray(np.moveaxis(values, 2, 0))


def coordinate_descent(problem: LayerProblem, choose: Choose, sweeps: int = 3) -> Array:
    """Weights on the codebook that no single change improves, no row worse than by rounding the target or the original."""
    starts = [apply(choose, problem.target), apply(choose, problem.original), column_pass(problem, choose)]
    return descend(problem, best_rows(problem, starts), choose, sweeps)


def best_rows(problem: LayerProblem, candidates: Sequence[Array]) -> Array:
    """The candidate of least error for every row; the first of equals. All (g, r, c)."""
    return picked(candidates, best_row(problem, candidates))


def best_row(problem: LayerProblem, candidates: Sequence[Array]) -> Indices:
    """Which of the candidates (g, r, c) has the least error, for every row (g, r)."""
    return np.asarray(np.stack([problem.row_errors(weight) for weight in candidates]).argmin(axis=0))


def picked(candidates: Sequence[Array], which: Indices) -> Array:
    """For every row the one of the candidates (g, r, ...) that `which` (g, r) names."""
    return np.asarray(np.take_along_axis(np.stack(candidates), which[None, :, :, None], axis=0)[0])


def apply(choose: Choose, weight: Array) -> Array:
    """`weight` (g, r, c) with every column chosen by itself."""
    return np.stack([choose(weight[:, :, j], j) for j in range(weight.shape[2])], axis=2)
