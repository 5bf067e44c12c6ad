"""A tensor element by element: as numbers of a narrower type, or as symbols that look up a table.

What is stored is float32, which decodes to f32 when a model is loaded, or int8, which decodes through integers to i8, so
that a layer with quantised activations keeps its int8 kernel.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan
from workers.ir.storage.symbols import MOST_LEVELS, packed_bytes, symbol_plans

Values = NDArray[Any]  # float32 or int8

ELEMENT = {"float32": ov.Type.f32, "int8": ov.Type.i8}
BYTES = np.arange(-128, 128).astype(np.int8)
SAMPLE = 4096  # elements that may show already that there are too many distinct values for a table


def element_plans(values: Values) -> Iterator[StoragePlan]:
    """Ways to store every element of a tensor, zeros included."""
    yield _plain(values)
    for kind in _narrower(values):
        yield _narrow(values, kind)
    yield from _tables(values)


def number_bits(values: Values) -> int:
    """Bits of the narrowest element type that holds all of `values`."""
    return min(int(kind.bitwidth) for kind in (ELEMENT[values.dtype.name], *_narrower(values)))


def _narrower(values: Values) -> list[ov.Type]:
    if values.dtype == np.int8:
        return _holding(values, {"i4": _within(-8, 7)})
    whole = np.array_equal(values, np.rint(values))
    return (_holding(values, INTEGERS) if whole else []) or _holding(values, FLOATS)


def _holding(values: Values, candidates: "Kinds") -> list[ov.Type]:
    return [getattr(ov.Type, name) for name, holds in candidates.items() if holds(values)]


def _plain(values: Values) -> StoragePlan:
    kind = ELEMENT[values.dtype.name]
    return StoragePlan(kind.to_string(), values.nbytes, 1, lambda graph: graph.constant(values, kind))


def _narrow(values: Values, kind: ov.Type) -> StoragePlan:
    """The detour over i32 hides integers from OpenVINO, which would quantise the activations of a MatMul with such weights."""
    final = ELEMENT[values.dtype.name]
    detour = kind.is_integral() and final == ov.Type.f32

    def build(graph: Graph) -> ov.Output:
        stored = graph.constant(values, kind)
        return graph(ops.convert, graph(ops.convert, stored, "i32") if detour else stored, final.to_string())

    return StoragePlan(kind.to_string(), packed_bytes(values.size, kind.bitwidth), 3 if detour else 2, build)


def _within(low: int, high: int) -> Callable[[Values], bool]:
    return lambda values: bool(np.all((values >= low) & (values <= high)))


def _is_float16(values: Values) -> bool:
    """Most weights show at once that they are not."""
    with np.errstate(over="ignore"):
        return all(bool(np.all(part.astype(np.float16) == part)) for part in (values.reshape(-1)[:SAMPLE], values))


def _is_bfloat16(values: Values) -> bool:
    return not np.any(values.astype(np.float32).view(np.uint32) & 0xFFFF)


def _is_float8(values: Values) -> bool:
    return _is_float16(values) and not np.any(values.astype(np.float16).view(np.uint16) & 0xFF)


Kinds = dict[str, Callable[[Values], bool]]  # element types, and what they hold exactly
INTEGERS: Kinds = {"i4": _within(-8, 7), "i8": _within(-128, 127), "i16": _within(-(2**15), 2**15 - 1)}
FLOATS: Kinds = {"f8e5m2": _is_float8, "f16": _is_float16, "bf16": _is_bfloat16}


def _tables(values: Values) -> Iterator[StoragePlan]:
    if values.dtype != np.int8 and np.unique(values.reshape(-1)[:SAMPLE]).size > MOST_LEVELS:
        return
    entries, where = numbered(values)
    if entries.size > MOST_LEVELS:
        return
    for codes in symbol_plans(where.reshape(values.shape), entries.size):
        yield _table(entries, codes)


def numbered(values: Values) -> tuple[Values, NDArray[np.integer]]:
    """The distinct values, ascending, and which of them each element is."""
    if values.dtype != np.int8:
        return np.unique(values, return_inverse=True)
    counts = byte_counts(values)
    return BYTES[counts > 0], (np.cumsum(counts > 0) - 1).astype(np.uint8)[_places(values)]


def byte_counts(values: NDArray[np.int8]) -> NDArray[np.integer]:
    """How often each of `BYTES` occurs."""
    return np.bincount(_places(values).reshape(-1), minlength=BYTES.size)


def _places(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Where among `BYTES` each element is: to add 128 is to flip the sign."""
    return values.view(np.uint8) ^ np.uint8(128)


def _table(entries: Values, codes: StoragePlan) -> StoragePlan:
    def build(graph: Graph) -> ov.Output:
        table = graph.constant(entries, ELEMENT[entries.dtype.name])
        return graph(ops.gather, table, codes.build(graph), graph.index(0))

    return StoragePlan(f"{codes.scheme} table", codes.bytes + entries.nbytes, codes.nodes + 2, build)
