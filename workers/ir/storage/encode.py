"""The smallest lossless form of a constant, among those that decode at load time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.grid import find_grid, scaled
from workers.ir.storage.plan import StoragePlan, cheapest
from workers.ir.storage.signs import find_signs, signed
from workers.ir.storage.sparse import sparse_plans
from workers.ir.storage.values import ELEMENT, Values, element_plans


@dataclass(frozen=True, slots=True)
class Encoded:
    """A constant in the form in which it is stored."""

    output: ov.Output  # decodes to the tensor
    scheme: str
    bytes: int  # of constants in the .bin


def encode(tensor: NDArray[np.float32], graph: Graph, *, step: NDArray[np.floating] | None = None) -> Encoded:
    """Store a float32 tensor in the fewest bytes of .bin and .xml together, so that it decodes to exactly `tensor`.

    `step` broadcasts to the tensor: where the tensor is a multiple of it, by integers or by the values of a table, those may
    be stored instead. A negative zero becomes a zero.
    """
    return _built(cheapest(tensor_plans(tensor, step)), graph)


def encode_integers(tensor: NDArray[np.int8], graph: Graph) -> Encoded:
    """Store an int8 tensor in the fewest bytes; it decodes through integers to i8, as an int8 kernel's weight must."""
    return _built(cheapest(value_plans(tensor)), graph)


def tensor_plans(tensor: NDArray[np.float32], step: NDArray[np.floating] | None) -> Iterator[StoragePlan]:
    """Every way to store a weight."""
    values = np.ascontiguousarray(tensor) + np.float32(0)
    yield from value_plans(values)
    grid = find_grid(values, step) if step is not None else None
    if grid is not None:
        for plan in value_plans(grid.codes):
            yield scaled(plan, grid, tensor.shape)
    signs = find_signs(values)
    if signs is not None:
        for plan in value_plans(signs.codes):
            yield signed(plan, signs)


def value_plans(values: Values) -> Iterator[StoragePlan]:
    """Every way to store an array."""
    if values.size and np.all(values == values.flat[0]):
        yield _constant(values)
    yield from element_plans(values)
    yield from sparse_plans(values)


def _constant(values: Values) -> StoragePlan:
    def build(graph: Graph) -> ov.Output:
        value = graph.constant(values.reshape(-1)[:1].reshape(()), ELEMENT[values.dtype.name])
        return graph(ops.broadcast, value, graph.vector(values.shape))

    return StoragePlan("constant", values.itemsize + 4 * values.ndim, 3, build)


def _built(plan: StoragePlan, graph: Graph) -> Encoded:
    return Encoded(plan.build(graph), plan.scheme, plan.bytes)
