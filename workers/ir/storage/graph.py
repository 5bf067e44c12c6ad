"""Operations with stable names, for decoders that must come out byte-identical whenever the same model is written."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

Index = int | tuple[int, ...]
CHUNK = 2**16  # elements packed at a time: OpenVINO packs lists of Python numbers
BY_LIST = (ov.Type.bf16, ov.Type.f8e5m2)


class Graph:
    """The decoder of one constant, under construction."""

    def __init__(self, name: str, indices: dict[Index, ov.Output]) -> None:
        """Operations are called `name`/0, `name`/1, ...; `indices` holds the index constants that a model's decoders share."""
        self._name = name
        self._indices = indices
        self._count = 0

    def __call__(self, operation: Callable[..., ov.Node], *arguments: Any) -> ov.Output:
        """The output of a new operation."""
        node = operation(*arguments)
        node.friendly_name = f"{self._name}/{self._count}"
        self._count += 1
        return node.output(0)

    def constant(self, values: NDArray[np.generic], kind: ov.Type) -> ov.Output:
        """`values` stored as `kind`, which must hold them exactly."""
        return self(_packed if kind.bitwidth < 8 or kind in BY_LIST else ops.constant, values, kind)

    def vector(self, values: Sequence[int]) -> ov.Output:
        """An i32 constant of one dimension."""
        return self.constant(np.array(values, np.int32), ov.Type.i32)

    def index(self, values: Index) -> ov.Output:
        """A shared i32 constant: a scalar, or a vector for a tuple."""
        if values not in self._indices:
            name = f"index {values}"
            self._indices[values] = ops.constant(np.array(values, np.int32), name=name).output(0)
        return self._indices[values]

    def reshape(self, value: ov.Output, shape: Sequence[int]) -> ov.Output:
        """`value` in another shape."""
        return self(ops.reshape, value, self.vector(shape), False)


def _packed(values: NDArray[np.generic], kind: ov.Type) -> ov.Node:
    tensor = ov.Tensor(kind, ov.Shape(values.shape))
    target = tensor.data.reshape(-1).view(np.uint8)
    flat = values.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        piece = ops.constant(flat[start : start + CHUNK], dtype=kind).data.view(np.uint8)
        offset = start * kind.bitwidth // 8
        target[offset : offset + piece.size] = piece
    return ov.op.Constant(tensor, True)
