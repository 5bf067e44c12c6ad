"""Bits for every layer, at a given mean: small layers are cheap to keep precise.

One bit more takes the error of a grid, or of a codebook that is spread alike, to a quarter. Where every layer costs the model's
outputs about the same at the same relative error, Σ 4^-b_l is what the outputs lose, and Σ n_l b_l the budget, with n_l the
weights of a layer. Its minimum is at b_l = const - ½ log₂ n_l (reverse water-filling; Shoham and Gersho 1988 for whole bits).
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np


def quartered(bits: int) -> float:
    """The error of a grid, relative to that of no bits."""
    return 4.0**-bits


def quartering(least: int, most: int) -> dict[int, float]:
    """The error of a grid at each number of bits."""
    return {bits: quartered(bits) for bits in range(least, most + 1)}


def bits_by_size(
    sizes: Sequence[int], mean: float, least: int, most: int, error: Callable[[int], float] = quartered
) -> list[int]:
    """Whole bits within `least` and `most` for layers of so many weights, `mean` for a weight at the most.

    Bits go one by one to where they save the most error for the weights that take them, until none can be paid. `error` falls
    less with every bit.
    """

    def gain(number: int) -> float:
        return (error(bits[number]) - error(bits[number] + 1)) / sizes[number]

    bits = [least] * len(sizes)
    left = mean * sum(sizes) - least * sum(sizes)
    gains = [(-gain(number), number) for number in range(len(sizes)) if least < most]
    heapq.heapify(gains)
    while gains:
        _, number = heapq.heappop(gains)
        if sizes[number] > left:
            continue  # too large for what is left; a smaller one may not be
        bits[number] += 1
        left -= sizes[number]
        if bits[number] < most:
            heapq.heappush(gains, (-gain(number), number))
    return bits


def extra_bits_by_size(sizes: Sequence[int], most: float) -> list[float]:
    """How many bits each layer has more than the mean over all weights, at most `most`: fractions of bits allowed."""
    size = np.array(sizes, np.float64)
    low, high = -most, most + np.log2(size.max())
    for _ in range(60):
        middle = (low + high) / 2
        spent = float(size @ np.minimum(middle - np.log2(size) / 2, most))
        low, high = (middle, high) if spent <= 0 else (low, middle)
    return [float(each) for each in np.minimum(low - np.log2(size) / 2, most)]
