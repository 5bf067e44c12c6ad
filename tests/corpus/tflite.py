"""A TFLite model of two layers, written field by field: the numbers of slots are those of its schema, version 3."""

from collections.abc import Sequence

import flatbuffers
import numpy as np
from numpy.typing import NDArray

FULLY_CONNECTED, OPTIONS = 9, 8  # the operation, and the kind of its options
RELU = 1


class Writer(flatbuffers.Builder):  # type: ignore[misc]
    """Tables, vectors and strings from the inside out."""

    def table(self, slots: int, numbers: dict[int, tuple[str, int]], offsets: dict[int, int]) -> int:
        self.StartObject(slots)
        for slot, offset in offsets.items():
            self.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, (kind, value) in numbers.items():
            getattr(self, f"Prepend{kind}Slot")(slot, value, 0)
        return int(self.EndObject())

    def tables(self, offsets: Sequence[int]) -> int:
        self.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.PrependUOffsetTRelative(offset)
        return int(self.EndVector())

    def integers(self, values: Sequence[int]) -> int:
        return int(self.CreateNumpyVector(np.array(values, np.int32)))

    def tensor(self, name: str, shape: Sequence[int], buffer: int) -> int:
        signature = self.integers(shape)
        fixed = self.integers([abs(length) for length in shape])
        return self.table(8, {2: ("Uint32", buffer)}, {0: fixed, 3: self.CreateString(name), 7: signature})

    def layer(self, inputs: Sequence[int], output: int, activation: int) -> int:
        options = self.table(3, {0: ("Int8", activation)}, {})
        ports = {1: self.integers(inputs), 2: self.integers([output]), 4: options}
        return self.table(6, {3: ("Uint8", OPTIONS)}, ports)


def model(outputs: Sequence[str], shape: Sequence[int] = (-1, 12)) -> tuple[bytes, list[NDArray[np.float32]]]:
    """x of `shape` through a layer of 16 with ReLU, then one of four for every output, named as given; with its weights."""
    rng, w = np.random.default_rng(7), Writer(4096)
    sizes = [(16, shape[-1]), *((4, 16) for _ in outputs)]
    weights = [(rng.normal(size=size) / 3).astype(np.float32) for size in sizes]
    stored = [w.table(1, {}, {0: w.CreateByteVector(value.tobytes())}) for value in weights]
    buffers = w.tables([w.table(1, {}, {}), *stored])
    tensors = [w.tensor("x", shape, 0), w.tensor("h", (shape[0], 16), 0)]
    tensors += [w.tensor(name, (shape[0], 4), 0) for name in outputs]
    first = len(tensors)  # of the weights
    tensors += [w.tensor(f"w{number}", size, number + 1) for number, size in enumerate(sizes)]
    ends = range(2, first)
    layers = [w.layer([0, first, -1], 1, RELU), *(w.layer([1, first + end - 1, -1], end, 0) for end in ends)]
    parts = {0: w.tables(tensors), 1: w.integers([0]), 2: w.integers(list(ends)), 3: w.tables(layers)}
    graph = w.table(5, {}, parts)
    code = w.table(4, {0: ("Int8", FULLY_CONNECTED), 2: ("Int32", 1), 3: ("Int32", FULLY_CONNECTED)}, {})
    whole = {1: w.tables([code]), 2: w.tables([graph]), 4: buffers}
    w.Finish(w.table(8, {0: ("Uint32", 3)}, whole), b"TFL3")
    return bytes(w.Output()), weights
