"""Which layer gets which budget: a recipe's step, fitted to each layer."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from workers.methods.ec2t import Ec2t, size_factor
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Array, Method

LEAST_KEPT = 0.02  # of a layer's weights: none is pruned away whole
GRID = np.linspace(0, 1 - LEAST_KEPT, 99)  # levels between which `optimal` chooses


def allocate(step: Method, weights: Mapping[str, Array]) -> dict[str, Method]:
    """The method for every layer that the step compresses, given all layers' weights by name in topological order."""
    if isinstance(step, Ec2t):
        return _allocate_ec2t(step, weights)
    if isinstance(step, LayerwisePruning) and step.pattern == "unstructured" and step.allocation == "normalized":
        levels = normalized_levels(list(weights.values()), step.sparsity_level)
        return {name: _at(step, level) for name, level in zip(weights, levels, strict=True)}
    return dict.fromkeys(weights, step)


def _allocate_ec2t(step: Ec2t, weights: Mapping[str, Array]) -> dict[str, Method]:
    """Every layer between the first and the last, its γ times the δ of its size (Marban et al. 2020, Eq. 7-8)."""
    names = list(weights)[1:-1] if step.keep_ends else list(weights)
    largest = max((weights[name].size for name in names), default=1)
    factors = {name: size_factor(weights[name].size, largest) for name in names}
    return {name: step.model_copy(update={"gamma": step.gamma * factor}) for name, factor in factors.items()}


def _at(step: LayerwisePruning, level: float) -> Method:
    return step.model_copy(update={"sparsity_level": level})


def normalized_levels(weights: Sequence[Array], sparsity: float) -> list[float]:
    """The share of each layer below one threshold on |w| / ‖W‖₂ (Lazarevich et al. 2021, Eq. 2).

    The threshold prunes `sparsity` of all weights together; a layer that would keep less than `LEAST_KEPT` keeps that, and
    the others give the difference.
    """
    importance = [np.abs(weight).ravel() / max(float(np.linalg.norm(weight)), np.finfo(float).tiny) for weight in weights]
    sizes = np.array([scores.size for scores in importance])
    capped = np.zeros(len(weights), np.bool_)
    levels = np.zeros(len(weights))
    while True:
        wanted = sparsity * sizes.sum() - (1 - LEAST_KEPT) * sizes[capped].sum()
        pooled = np.concatenate([scores for scores, fixed in zip(importance, capped, strict=True) if not fixed])
        rank = min(max(round(wanted), 0), pooled.size)
        threshold = np.inf if rank == pooled.size else np.partition(pooled, rank)[rank]
        levels = np.array([np.count_nonzero(scores < threshold) / scores.size for scores in importance])
        levels[capped] = 1 - LEAST_KEPT
        fresh = (levels > 1 - LEAST_KEPT) & ~capped
        if not fresh.any():
            return [float(level) for level in levels]
        capped |= fresh


def optimal_levels(sizes: Sequence[int], harms: Array, sparsity: float) -> list[float]:
    """The levels, `sparsity` of all weights together, at which the summed harm is least.

    `harms` (layers, GRID) is what each layer costs at the levels of GRID. Where the price of a further weight, the Lagrange
    multiplier, is the same in all layers the sum is minimal; the lower convex hull of every layer has only such points, so its
    edges are taken in the order of their price until the budget is spent. The last edge is taken in part.
    """
    edges = sorted(edge for number, harm in enumerate(harms) for edge in _hull(number, sizes[number], harm))
    levels = np.zeros(len(sizes))
    left = sparsity * sum(sizes)
    for _, number, start, stop in edges:
        taken = min(left, (GRID[stop] - GRID[start]) * sizes[number])
        levels[number] = GRID[start] + taken / sizes[number]
        left -= taken
        if left <= 0:
            break
    return [float(level) for level in levels]


def _hull(number: int, size: int, harm: Array) -> Iterator[tuple[float, int, int, int]]:
    """The edges of the lower convex hull: price of a weight, the layer's number, and both ends in GRID."""
    start, price = 0, -np.inf
    while start < len(GRID) - 1:
        prices = (harm[start + 1 :] - harm[start]) / ((GRID[start + 1 :] - GRID[start]) * size)
        stop = start + 1 + int(np.argmin(prices))
        price = max(price, float(prices[stop - start - 1]))  # they rise, up to rounding
        yield price, number, start, stop
        start = stop
