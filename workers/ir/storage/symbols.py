"""Small non-negative integers, packed: a fixed number of bits each, or several to a word in base L.

Both decode to i32 in the symbols' own shape.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan

Symbols = NDArray[np.integer]

WIDTHS = {1: ov.Type.u1, 2: ov.Type.u2, 3: ov.Type.u3, 4: ov.Type.u4, 6: ov.Type.u6, 8: ov.Type.u8}
MOST_LEVELS = 256


class Word(NamedTuple):
    """An element that holds several symbols."""

    name: str
    bits: int
    kind: ov.Type


# Wider words would come closer to log2 L, but a runtime that divides in float32 rather than folding would err on them.
WORDS = (Word("u8", 8, ov.Type.u8), Word("u16", 16, ov.Type.u16))


def symbol_plans(symbols: Symbols, levels: int) -> Iterator[StoragePlan]:
    """Ways to store integers in [0, levels), levels <= 256."""
    yield _packed(symbols, levels)
    for word in WORDS:
        digits = int(math.log(2**word.bits, levels) + 1e-9) if levels > 1 else 0
        if digits > word.bits // width_of(levels):
            yield _digits(symbols, levels, word, digits)


def width_of(levels: int) -> int:
    """The narrowest element type that tells `levels` symbols apart, in bits."""
    return next(width for width in WIDTHS if 2**width >= levels)


def packed_bytes(count: int, width: int) -> int:
    """Bytes of `count` elements of `width` bits; OpenVINO pads 3 and 6 bit elements to groups of three bytes."""
    group = math.lcm(8, width)
    return -(-count * width // group) * (group // 8)


def _packed(symbols: Symbols, levels: int) -> StoragePlan:
    width = width_of(levels)

    def build(graph: Graph) -> ov.Output:
        return graph(ops.convert, graph.constant(symbols.astype(np.uint8), WIDTHS[width]), "i32")

    return StoragePlan(f"u{width}", packed_bytes(symbols.size, width), 2, build)


def _digits(symbols: Symbols, levels: int, word: Word, digits: int) -> StoragePlan:
    """Each word is a number whose `digits` base-`levels` digits are symbols, the least significant one first."""
    count = -(-symbols.size // digits)
    powers = levels ** np.arange(digits)
    full = symbols.size == count * digits

    def build(graph: Graph) -> ov.Output:
        padded = np.zeros(count * digits, np.int64)
        padded[: symbols.size] = symbols.reshape(-1)
        words = (padded.reshape(count, digits) @ powers)[:, None].astype(f"uint{word.bits}")
        numbers = graph(ops.convert, graph.constant(words, word.kind), "i32")
        shifted = graph(ops.divide, numbers, graph.index(tuple(powers.tolist())))
        found = graph(ops.floor_mod, shifted, graph.index(levels))
        if not full:
            flat = graph.reshape(found, [padded.size])
            first, every, axis = graph.index((0,)), graph.index((1,)), graph.index((0,))
            found = graph(ops.slice, flat, first, graph.vector([symbols.size]), every, axis)
        return graph.reshape(found, symbols.shape)

    operands = 4 * (symbols.ndim + (0 if full else 2))
    return StoragePlan(f"{word.name} base {levels}", count * word.bits // 8 + operands, 6 if full else 10, build)
