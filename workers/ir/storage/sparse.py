"""A tensor with many zeros: where its non-zero elements are, and those elements alone.

Positions come from a running sum, taken in float32 because OpenVINO folds no other; it is exact up to 2^24.
"""

from collections.abc import Iterator

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan, cheapest
from workers.ir.storage.symbols import WIDTHS, packed_bytes
from workers.ir.storage.values import ELEMENT, Values, element_plans

EXACT_SUM = 2**24
GAP_WIDTHS = (2, 3, 4, 6, 8)


def sparse_plans(values: Values) -> Iterator[StoragePlan]:
    """Ways to store a tensor of which some but not all elements are zero."""
    flat = values.reshape(-1)
    positions = np.flatnonzero(flat)
    if positions.size in (0, flat.size) or positions.size > EXACT_SUM:
        return
    survivors = cheapest(element_plans(flat[positions]))
    yield _bitmap(values, survivors)
    if flat.size <= EXACT_SUM:
        yield _gaps(values, positions, _gap_width(positions, 8 * survivors.bytes / positions.size))


def _bitmap(values: Values, survivors: StoragePlan) -> StoragePlan:
    """One bit per element; the k-th set bit stands for the k-th survivor, a clear one for the zero put before them."""

    def build(graph: Graph) -> ov.Output:
        bits = graph(ops.convert, graph.constant(values.reshape(-1) != 0, ov.Type.u1), "f32")
        rank = graph(ops.multiply, graph(ops.cum_sum, bits, graph.index(0)), bits)
        zero = graph.constant(np.zeros(1, values.dtype), ELEMENT[values.dtype.name])
        table = graph(ops.concat, [zero, survivors.build(graph)], 0)
        found = graph(ops.gather, table, graph(ops.convert, rank, "i32"), graph.index(0))
        return graph.reshape(found, values.shape)

    constants = packed_bytes(values.size, 1) + values.itemsize + 4 * values.ndim
    return StoragePlan(f"bitmap, {survivors.scheme}", survivors.bytes + constants, survivors.nodes + 10, build)


def _gaps(values: Values, positions: NDArray[np.intp], width: int) -> StoragePlan:
    """The distance from each survivor to the next; one too long for `width` bits is bridged by stored zeros."""
    gaps, stops = _bridge(positions, 2**width - 1)
    survivors = cheapest(element_plans(values.reshape(-1)[stops]))

    def build(graph: Graph) -> ov.Output:
        distances = graph(ops.convert, graph.constant(gaps.astype(np.uint8), WIDTHS[width]), "f32")
        index = graph(ops.convert, graph(ops.cum_sum, distances, graph.index(0)), "i32")
        zero = graph.constant(np.zeros((), values.dtype), ELEMENT[values.dtype.name])
        zeros = graph(ops.broadcast, zero, graph.vector([values.size]))
        flat = graph(ops.scatter_update, zeros, index, survivors.build(graph), graph.index(0))
        return graph.reshape(flat, values.shape)

    constants = packed_bytes(gaps.size, width) + values.itemsize + 4 * (1 + values.ndim)
    return StoragePlan(f"u{width} gaps, {survivors.scheme}", survivors.bytes + constants, survivors.nodes + 10, build)


def _gap_width(positions: NDArray[np.intp], bits: float) -> int:
    """The width of gaps that takes least, at `bits` per stored element."""
    distances = np.diff(positions, prepend=0)
    return min(GAP_WIDTHS, key=lambda width: (width + bits) * np.sum(-(-distances // (2**width - 1))))


def _bridge(positions: NDArray[np.intp], reach: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Gaps of at most `reach` and the positions they lead to: all of `positions`, and stops between those further apart."""
    distances = np.diff(positions, prepend=0)
    hops = np.maximum(-(-distances // reach), 1)
    last = np.cumsum(hops) - 1
    gaps = np.full(last[-1] + 1, reach, np.intp)
    gaps[last] = distances - (hops - 1) * reach
    return gaps, np.cumsum(gaps)
