"""Which layer gets which level of a budget: by what each level costs the model's outputs."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from workers.methods.layerwise_pruning import LEAST_KEPT
from workers.methods.problem import Array

STEPS = 2**14  # of a budget of bits
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


def optimal_bits(sizes: Sequence[int], harms: Array, bits: Sequence[int], mean: float) -> list[int]:
    """Whole bits for every layer, `mean` for a weight at the most, at which the summed harm is least.

    `harms` (layers, bits) is what each layer costs at each number of `bits`, which follow one another. Dynamic programming over
    the layers, with the budget in steps of a part in STEPS: bits are too few and too large for the hull to serve.
    """
    falling = np.minimum.accumulate(harms, axis=1)
    step = max(sum(sizes) * (bits[-1] - bits[0]) / STEPS, 1.0)
    left = int((mean - bits[0]) * sum(sizes) / step)
    least, chosen = np.zeros(left + 1), []
    for size, row in zip(sizes, falling, strict=True):
        prices = [ceil(number * size / step) for number in range(len(bits))]
        paid = [np.r_[np.full(min(price, left + 1), np.inf), least[: max(left + 1 - price, 0)]] for price in prices]
        totals = np.array(paid) + row[:, None]
        chosen.append((totals.argmin(axis=0), prices))
        least = totals.min(axis=0)
    found = []
    for best, prices in reversed(chosen):
        number = int(best[left])
        found.append(bits[number])
        left -= prices[number]
    return found[::-1]


def _hull(number: int, size: int, harm: Array) -> Iterator[tuple[float, int, int, int]]:
    """The edges of the lower hull of `harm`, at the first levels of GRID: price of a weight, number of the layer, both ends."""
    start, price = 0, -np.inf
    while start < len(harm) - 1:
        prices = (harm[start + 1 :] - harm[start]) / ((GRID[start + 1 : len(harm)] - GRID[start]) * size)
        stop = start + 1 + int(np.argmin(prices))
        price = max(price, float(prices[stop - start - 1]))  # they rise, up to rounding
        yield price, number, start, stop
        start = stop
