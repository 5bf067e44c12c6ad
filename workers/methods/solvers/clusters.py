"""Codebooks that are learnt: k-means with one cluster held at zero, and scales and centroids fitted in the metric of H.

Where BatchNorm has been folded, it has left every output channel a scale of its own: one codebook for all rows is too wide for
some and too narrow for others. A row therefore has a scale on shared levels, or its own levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np

from workers.methods.problem import Array, Indices, LayerProblem, Mask, half, working_precision
from workers.methods.solvers.column_pass import descend, nearest, places, taken

TERNARY_THRESHOLD = 0.7  # of mean|w|: Li, Zhang, Liu, "Ternary Weight Networks" (2016), section 2.2
FITTED = 1e-10  # of the first residual's energy: the centroids are found


def ternary_levels(weight: Array) -> Array:
    """The means of the weights beyond the threshold on either side, and zero between them, (3,); zero for an empty side."""
    threshold = TERNARY_THRESHOLD * float(np.abs(weight).mean())
    below, above = weight[weight < -threshold], weight[weight > threshold]
    return half(np.array([below.mean() if below.size else 0.0, 0.0, above.mean() if above.size else 0.0]))


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
    return levels


class Codebook(Protocol):
    """The values that the weights of every row may take."""

    @property
    def table(self) -> Array:
        """Sorted, (g, r, k), products of two numbers in half precision at most: exact in float32."""

    def fitted(self, problem: LayerProblem, member: Indices) -> Self:
        """The best values for weights that stay on the entries `member` (g, r, c)."""


@dataclass(frozen=True, slots=True)
class ScaledLevels:
    """Levels that all rows share, times a scale for each."""

    levels: Array  # (k,), sorted
    scale: Array  # (g, r, 1), positive

    @property
    def table(self) -> Array:
        return self.levels * self.scale

    def fitted(self, problem: LayerProblem, member: Indices) -> "ScaledLevels":
        scale = half(fitted_scale(problem, self.levels[member], self.scale))
        levels = fitted_levels(problem.in_units_of(scale), member, self.levels)
        order = np.sort(half(levels))
        return ScaledLevels(order, scale)


@dataclass(frozen=True, slots=True)
class RowLevels:
    """Levels that every row has for itself."""

    table: Array  # (g, r, k), sorted

    def fitted(self, problem: LayerProblem, member: Indices) -> "RowLevels":
        return RowLevels(np.sort(half(fitted_rows(problem, member, self.table)), axis=2))


def channel_scale(weight: Array) -> Array:
    """The root mean square of every row of `weight` (g, r, c), (g, r, 1); one for a row of zeros."""
    size = np.sqrt(np.mean(np.square(weight), axis=2, keepdims=True))
    return half(np.where(size > 0, size, 1.0))


def fitted_scale(problem: LayerProblem, codes: Array, scale: Array) -> Array:
    """The scale of every row that serves `codes` (g, r, c) best, w* H c / c H c; its old one where that is not positive."""
    hessian = problem.hessian.astype(working_precision(problem.hessian), copy=False)
    image = codes.astype(hessian.dtype) @ hessian
    energy = np.einsum("grc,grc->gr", image, codes)[..., None]
    found = np.einsum("grc,grc->gr", image, problem.target)[..., None] / np.where(energy > 0, energy, 1.0)
    return np.where((energy > 0) & (found > 0), found, scale)


def fitted_levels(problem: LayerProblem, member: Indices, levels: Array) -> Array:
    """The best values for the clusters `member` (g, r, c) of `levels` (k,) other than zero.

    With B_k the indicator of cluster k, Ŵ = Σ a_k B_k is linear in a: the normal equations are A a = b with
    A_kl = ⟨B_k H, B_l⟩ and b_k = ⟨W* H, B_k⟩. They are solved by conjugate gradient, a product with H for each step and none
    for each cluster, from the present values on.
    """
    hessian = problem.hessian.astype(working_precision(problem.hessian), copy=False)

    def sums(values: Array) -> Array:
        """Over each cluster (k,), nothing for the one at zero."""
        return np.where(levels == 0, 0.0, np.bincount(member.ravel(), values.ravel(), levels.size))

    curvature = np.einsum("gcc->gc", problem.hessian)[:, None, :]
    scale = 1 / np.maximum(sums(np.broadcast_to(curvature, member.shape)), np.finfo(np.float64).tiny)
    residual = sums((problem.target - levels[member]).astype(hessian.dtype) @ hessian)
    values, direction = levels.copy(), scale * residual
    energy = goal = float(residual @ direction)
    for _ in range(levels.size):
        image = sums(direction[member].astype(hessian.dtype) @ hessian)
        length = energy / max(float(direction @ image), np.finfo(np.float64).tiny)
        values += length * direction
        residual -= length * image
        previous, energy = energy, float(residual @ (scale * residual))
        if energy <= FITTED * goal:
            break
        direction = scale * residual + energy / previous * direction
    return values


def fitted_rows(problem: LayerProblem, member: Indices, table: Array) -> Array:
    """The same for every row by itself, from `table` (g, r, k): k equations, of which those of zero and of no weight stay."""
    hessian = problem.hessian.astype(working_precision(problem.hessian), copy=False)
    inside = np.stack([member == k for k in range(table.shape[2])], axis=2).astype(hessian.dtype)  # (g, r, k, c)
    image = (inside.reshape(len(inside), -1, inside.shape[3]) @ hessian).reshape(inside.shape)
    normal = np.einsum("grkc,grlc->grkl", image, inside).astype(np.float64)
    pull = np.einsum("grkc,grc->grk", image, problem.target - taken(table, member))
    stays = (table == 0) | ~inside.any(axis=3)
    normal = np.where(stays[..., None] | stays[..., None, :], np.eye(table.shape[2]), normal)
    shift = np.linalg.solve(normal, np.where(stays, 0.0, pull)[..., None])[..., 0]
    return table + shift


Book = TypeVar("Book", bound=Codebook)


def alternate(problem: LayerProblem, starts: Sequence[tuple[Array, Book]], rounds: int) -> tuple[Array, Book]:
    """Weights on a learnt codebook: from every start, choose the entries and fit the values, in turn; the best of all rounds.

    Errors of rows count relative to the size of the row.
    """
    size = channel_scale(problem.original)[..., 0] ** 2
    best, least = starts[0], np.inf
    for weight, book in starts:
        last = np.inf
        for turn in range(rounds + 1):
            if turn:
                member = places(book.table, weight)
                book = book.fitted(problem, member)
                weight = descend(problem, taken(book.table, member), nearest(book.table, problem.support))
            error = float(np.sum(problem.row_errors(weight) / size))
            if error < least:
                best, least = (weight, book), error
            if error >= last * (1 - 1e-4):
                break
            last = error
    return best
