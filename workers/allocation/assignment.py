"""Which layer gets which level of a budget: by what each level costs the model's outputs."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.methods.layerwise_pruning import LEAST_KEPT
from workers.methods.problem import Array, Indices

STEPS = 2**14  # of a budget of bits
BOUNDED_STEPS = 2**10  # of each of two budgets
GRID = np.linspace(0, 1 - LEAST_KEPT, 99)  # levels between which `optimal` chooses


def optimal_levels(sizes: Sequence[int], harms: Array, sparsity: float, most: float = 1.0) -> list[float]:
    """The levels, `sparsity` of all weights together and `most` of a layer's, at which the summed harm is least.

    `harms` (layers, GRID) is what each layer costs at the levels of GRID. Where the price of a further weight, the Lagrange
    multiplier, is the same in all layers the sum is minimal; the lower convex hull of every layer has only such points, so its
    edges are taken in the order of their price until the budget is spent. The last edge is taken in part.
    """
    open_to = harms[:, GRID <= most]
    edges = sorted(edge for number, harm in enumerate(open_to) for edge in _hull(number, sizes[number], harm))
    levels = np.zeros(len(sizes))
    left = sparsity * sum(sizes)
    for _, number, start, stop in edges:
        taken = min(left, (GRID[stop] - GRID[start]) * sizes[number])
        levels[number] = GRID[start] + taken / sizes[number]
        left -= taken
        if left <= 0:
            break
    return [float(level) for level in levels]


def optimal_bits(sizes: Sequence[int], harms: Array, bits: Sequence[int], mean: float, finer: float = 1.0) -> list[int]:
    """Whole bits for every layer, `mean` for a weight at the most, at which the summed harm is least.

    `harms` (layers, bits) is what each layer costs at each number of `bits`, which follow one another. Layers with more than
    the least of them hold at most a share of `finer` of all weights. Dynamic programming over the layers, with both budgets in
    whole steps: bits are too few and too large for the hull to serve.
    """
    whole, falling = sum(sizes), np.minimum.accumulate(harms, axis=1)
    more = np.arange(len(bits))  # than the least
    prices = np.multiply.outer(sizes, np.stack([more, more > 0], axis=1))  # (layers, bits, 2)
    budgets = np.array([(mean - bits[0]) * whole, finer * whole])
    bounded = finer < 1
    step = np.maximum(whole * np.array([more[-1], 1]) / (BOUNDED_STEPS if bounded else STEPS), 1.0)
    if not bounded:
        prices[:, :, 1], budgets[1] = 0, 0
    steps = (np.rint if bounded else np.ceil)(prices / step).astype(np.intp)  # fewer steps, rounded up, would waste too much
    least, chosen = np.zeros((budgets / step).astype(np.intp) + 1), []
    for each, harm in zip(steps, falling, strict=True):
        totals = np.stack([_paid(least, *price) + cost for price, cost in zip(each, harm, strict=True)])
        chosen.append(totals.argmin(axis=0).astype(np.int8))
        least = totals.min(axis=0)
    for left in least.size - 1 - np.argsort(least.ravel()[::-1], kind="stable"):
        found = _read_back(chosen, steps, np.array(np.unravel_index(left, least.shape)))
        if np.all(prices[np.arange(len(sizes)), found].sum(axis=0) <= budgets):  # not only in rounded steps
            return [bits[number] for number in found]
    return [bits[0]] * len(sizes)


def _read_back(chosen: Sequence[NDArray[np.int8]], steps: Indices, left: Indices) -> list[int]:
    """The choice of every layer when so many steps of both budgets are left for all."""
    found = []
    for best, each in zip(reversed(chosen), reversed(steps), strict=True):
        number = int(best[tuple(left)])
        found.append(number)
        left = left - each[number]
    return found[::-1]


def _paid(least: Array, *prices: int) -> Array:
    """The least sums of harms once `prices` are paid of both budgets; infinite where they cannot be."""
    found = np.full(least.shape, np.inf)
    rows, cols = (slice(min(price, size), None) for price, size in zip(prices, least.shape, strict=True))
    found[rows, cols] = least[: max(least.shape[0] - prices[0], 0), : max(least.shape[1] - prices[1], 0)]
    return found


def _hull(number: int, size: int, harm: Array) -> Iterator[tuple[float, int, int, int]]:
    """The edges of the lower hull of `harm`, at the first levels of GRID: price of a weight, number of the layer, both ends."""
    start, price = 0, -np.inf
    while start < len(harm) - 1:
        prices = (harm[start + 1 :] - harm[start]) / ((GRID[start + 1 : len(harm)] - GRID[start]) * size)
        stop = start + 1 + int(np.argmin(prices))
        price = max(price, float(prices[stop - start - 1]))  # they rise, up to rounding
        yield price, number, start, stop
        start = stop
