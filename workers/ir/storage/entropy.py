"""How few bits the values of a weight could take."""

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.storage.grid import find_grid
from workers.ir.storage.signs import find_signs
from workers.ir.storage.values import Values, byte_counts, number_bits

FLOAT_BITS = 32


def entropy_bits(weight: Values, scales: int = 0, step: NDArray[np.floating] | None = None) -> float:
    """Bits per weight of an ideal code for the values of `weight`, each coded by itself, zeros included.

    The least of these codes: plain numbers of as many bits as they need; zero or not, with the survivors as plain numbers;
    the values, with a table of them; the same of the codes behind the values where `step` gives them; the signs, with two
    values for each channel. `scales` float32 numbers stand beside the values.
    """
    beside = FLOAT_BITS * scales
    codes = [(weight, beside)]
    grid = find_grid(weight.astype(np.float32), step) if step is not None else None
    if grid is not None:
        codes.append((grid.codes, _bits(grid.step)))
    signs = find_signs(weight) if weight.dtype == np.float32 else None
    if signs is not None:
        codes.append((signs.codes, beside + _bits(signs.above) + _bits(signs.below)))
    return min(_least(values) + bits / weight.size for values, bits in codes)


def constant_values(constant: ov.Node) -> Values:
    """What a constant holds; the codes of one of 4 bits, or of bytes, as float32."""
    data: Values = constant.data
    if constant.get_element_type().bitwidth == 4:  # two in a byte, the lower one first
        data = np.stack([data.view(np.uint8).reshape(-1) & 15, data.view(np.uint8).reshape(-1) >> 4], axis=-1)
        data = data.reshape(-1)[: np.prod(constant.shape)]
    return data.astype(np.float32) if data.dtype == np.uint8 else data


def _bits(numbers: Values) -> int:
    return number_bits(numbers) * numbers.size


def _least(values: Values) -> float:
    width = number_bits(values)
    counts = byte_counts(values) if values.dtype == np.int8 else np.unique(values, return_counts=True)[1]
    counts = counts[counts > 0]
    survivors = np.count_nonzero(values)
    with_table = _shannon(counts) + width * counts.size / values.size
    with_mask = _shannon(np.array([survivors, values.size - survivors])) + width * survivors / values.size
    return min(width, with_table, with_mask)


def _shannon(counts: NDArray[np.integer]) -> float:
    """-sum p log2 p of symbols that occur `counts` times."""
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log2(share)))
