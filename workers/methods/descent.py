"""Choosing levels: the weights of a layer moved onto a codebook, column by column, in the metric of H.

Both passes visit the columns in blocks, so that all but the work inside a block is matrix products. `choose` maps the best
free values of one column (g, r) and the column's index to allowed values (g, r); it holds the codebook, the support and any
penalty.
"""

from collections.abc import Callable

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, single

Choose = Callable[[Array, int], Array]

BLOCK = 128  # columns


def sweep(problem: LayerProblem, choose: Choose) -> Array:
    """One pass in order of falling curvature: each column is chosen, and the columns after it make up for its error.

    Frantar et al. 2022 (GPTQ, OPTQ), Algorithm 1, with the Cholesky factor of H⁻¹ and lazy blocks.
    """
    order = np.argsort(-np.einsum("gcc->c", problem.hessian), kind="stable")
    inverse = np.linalg.inv(problem.hessian[:, order][:, :, order])
    upper = np.linalg.cholesky(inverse).swapaxes(1, 2)  # (g, c, c) upper: H⁻¹ = Uᵀ U
    weight = problem.target[:, :, order].copy()
    for start in range(0, weight.shape[2], BLOCK):
        stop = min(start + BLOCK, weight.shape[2])
        error = np.empty((*weight.shape[:2], stop - start))
        for j in range(start, stop):
            chosen = choose(weight[:, :, j], int(order[j]))
            error[:, :, j - start] = (weight[:, :, j] - chosen) / upper[:, j, j, None]
            weight[:, :, j] = chosen
            weight[:, :, j + 1 : stop] -= error[:, :, j - start, None] * upper[:, None, j, j + 1 : stop]
        weight[:, :, stop:] -= error @ upper[:, start:stop, stop:]
    result = np.empty_like(weight)
    result[:, :, order] = weight
    return result


def descend(problem: LayerProblem, weight: Array, choose: Choose, sweeps: int = 3) -> Array:
    """Coordinate descent from `weight` (g, r, c): every column re-chosen given all others, until nothing changes.

    With `choose` the nearest level, no step raises `problem.error`.
    """
    weight = weight.copy()
    curvature = np.einsum("gcc->gc", problem.hessian)
    slope = (weight - problem.target) @ problem.hessian  # (g, r, c): half the gradient
    for _ in range(sweeps):
        changed = False
        for start in range(0, weight.shape[2], BLOCK):
            stop = min(start + BLOCK, weight.shape[2])
            local = slope[:, :, start:stop].copy()
            moved = np.zeros_like(local)
            for j in range(start, stop):
                best = weight[:, :, j] - local[:, :, j - start] / curvature[:, j, None]
                step = choose(best, j) - weight[:, :, j]
                if step.any():
                    weight[:, :, j] += step
                    moved[:, :, j - start] = step
                    local += step[:, :, None] * problem.hessian[:, None, j, start:stop]
            if moved.any():
                slope += moved @ problem.hessian[:, start:stop]
                changed = True
        if not changed:
            break
    return weight


def nearest(levels: Array, support: Mask | None = None) -> Choose:
    """The nearest of the sorted `levels` (k,); zero outside the `support` (g, r, c)."""
    middles = (levels[1:] + levels[:-1]) / 2

    def choose(values: Array, column: int) -> Array:
        chosen = levels[np.searchsorted(middles, values)]
        return chosen if support is None else np.where(support[:, :, column], chosen, 0.0)

    return choose


def on_multiples(step: Array, reach: float, support: Mask | None = None) -> Choose:
    """The nearest multiple of `step` (g, r, c) within ±`reach` steps, in float32; zero outside the `support` (g, r, c)."""

    def choose(values: Array, column: int) -> Array:
        width = step[:, :, column]
        chosen = single(width * np.clip(np.rint(values / width), -reach, reach))
        return chosen if support is None else np.where(support[:, :, column], chosen, 0.0)

    return choose


def settle(problem: LayerProblem, choose: Choose, sweeps: int = 3) -> Array:
    """Weights on the codebook that no single change improves, and never worse than rounding the target or the original."""
    starts = [_apply(problem.target, choose), _apply(problem.original, choose), sweep(problem, choose)]
    return descend(problem, min(starts, key=problem.error), choose, sweeps)


def _apply(weight: Array, choose: Choose) -> Array:
    return np.stack([choose(weight[:, :, j], j) for j in range(weight.shape[2])], axis=2)
