"""Codebooks that are learnt: k-means with one cluster held at zero, and centroids fitted in the metric of H."""

import numpy as np

from workers.methods.descent import descend, nearest, settle
from workers.methods.problem import Array, LayerProblem, single

TERNARY_THRESHOLD = 0.7  # of mean|w|: Li, Zhang, Liu, "Ternary Weight Networks" (2016), section 2.2
RIDGE = 1e-9  # of the mean diagonal: centroids whose effects coincide share their part


def ternary_levels(weight: Array) -> Array:
    """Zero and the means of the weights beyond the threshold on either side, sorted; a side without any has no level."""
    threshold = TERNARY_THRESHOLD * float(np.abs(weight).mean())
    sides = [weight[weight < -threshold], weight[weight > threshold]]
    return np.unique([0.0, *(float(side.mean()) for side in sides if side.size)])


def k_means(values: Array, start: Array, iterations: int) -> Array:
    """Lloyd's algorithm on `values` from the sorted levels `start` (k,), whose zero stays, as do empty clusters."""
    levels = start
    flat = values.ravel()
    for _ in range(iterations):
        member = np.searchsorted((levels[1:] + levels[:-1]) / 2, flat)
        count = np.bincount(member, minlength=levels.size)
        mean = np.bincount(member, flat, levels.size) / np.maximum(count, 1)
        moved = np.sort(np.where((count > 0) & (levels != 0), mean, levels))
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels


def refit(problem: LayerProblem, weight: Array, levels: Array) -> tuple[Array, Array]:
    """The best values for the non-zero levels while every weight stays in its cluster: weights and sorted levels, re-fitted.

    With B_k the indicator of cluster k, Ŵ = Σ a_k B_k is linear in a: the normal equations are A a = b with
    A_kl = ⟨B_k H, B_l⟩ and b_k = ⟨W* H, B_k⟩.
    """
    used = [level for level in levels if level != 0 and np.any(weight == level)]
    if not used:
        return weight, levels
    member = np.stack([weight == level for level in used])  # (k, g, r, c)
    image = [indicator @ problem.hessian for indicator in member.astype(np.float64)]
    normal = np.array([[np.sum(row, where=other) for other in member] for row in image])
    pull = np.array([np.sum(row * problem.target) for row in image])
    normal += RIDGE * np.trace(normal) / len(used) * np.eye(len(used))
    values = single(np.linalg.solve(normal, pull))
    fitted = np.where(member, values[:, None, None, None], 0.0).sum(axis=0)
    return fitted, np.unique([0.0, *values])


def alternate(problem: LayerProblem, levels: Array, rounds: int, start: Array | None = None) -> Array:
    """Weights on learnt levels: choose the clusters, fit the centroids, in turn; the best round is returned."""
    weight = settle(problem, nearest(levels, problem.support))
    if start is not None:
        weight = min(weight, start, key=problem.error)
    best = weight
    for _ in range(rounds):
        fitted, levels = refit(problem, weight, np.unique([0.0, *weight.ravel()]))
        weight = descend(problem, fitted, nearest(levels, problem.support))
        if problem.error(weight) >= problem.error(best) * (1 - 1e-4):
            break
        best = weight
    return min(best, weight, key=problem.error)
