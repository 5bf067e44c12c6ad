"""A weight as integers, or the few values of a table, times a step: one step, one per channel, or one per block of weights."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan, cheapest
from workers.ir.storage.values import element_plans

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """`codes` of shape `blocked`, times `step`, which broadcasts to it, is the tensor."""

    codes: Float32
    step: Float32


def find_grid(tensor: Float32, step: NDArray[np.floating]) -> Grid | None:
    """The codes behind `tensor` for a step that broadcasts to it; None if float32 products do not give the tensor back.

    They are integers if those do. Other values are told exactly where they and the step have the digits of half precision,
    whose products float32 holds.
    """
    full = np.broadcast_to(step.astype(np.float32), tensor.shape)
    ratio = np.divide(tensor, full, out=np.zeros_like(tensor), where=full != 0) + np.float32(0)
    for codes in (np.rint(ratio) + np.float32(0), ratio):
        if np.array_equal(codes * full, tensor):
            views = [_blocks(full.reshape(shape)) for shape in _views(tensor.shape)]
            blocked, steps = min(views, key=lambda view: view[1].size)
            return Grid(codes.reshape(blocked), steps)
    return None


def scaled(plan: StoragePlan, grid: Grid, shape: Sequence[int]) -> StoragePlan:
    """A plan for the tensor of `shape`, from one for its codes."""
    reshaped = tuple(shape) != grid.codes.shape
    steps = cheapest(element_plans(grid.step))

    def build(graph: Graph) -> ov.Output:
        product = graph(ops.multiply, plan.build(graph), steps.build(graph))
        return graph.reshape(product, shape) if reshaped else product

    nodes = plan.nodes + steps.nodes + (3 if reshaped else 1)
    operands = 4 * len(shape) if reshaped else 0
    return StoragePlan(f"{plan.scheme} x step", plan.bytes + steps.bytes + operands, nodes, build)


def _views(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The tensor as it is, and with all but its first axis in one: a block may run across a kernel."""
    yield shape
    if len(shape) > 2:
        yield shape[0], math.prod(shape[1:])


def _blocks(full: Float32) -> tuple[tuple[int, ...], Float32]:
    """Split every axis into blocks in which `full` is constant; returns the split shape and one value per block."""
    shape: list[int] = []
    pick: list[int | slice] = []
    for axis, size in enumerate(full.shape):
        length = _run(full, axis)
        if length in (1, size):
            shape.append(size)
            pick.append(slice(None) if length == 1 else slice(0, 1))
        else:
            shape += [size // length, length]
            pick += [slice(None), slice(0, 1)]
    return tuple(shape), np.ascontiguousarray(full.reshape(shape)[tuple(pick)])


def _run(full: Float32, axis: int) -> int:
    """The length of the longest equal blocks along an axis in which nothing changes."""
    lines = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1)
    changes = np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1
    return math.gcd(full.shape[axis], *changes.tolist())
