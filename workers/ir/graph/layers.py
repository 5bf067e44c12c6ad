"""The layers that can be compressed, and how each becomes a matrix problem.

A layer is an operation with a constant weight. Whatever its kernel, strides, dilation or groups, it computes
`output row = W · input row` over some set of rows, with W of shape (g, r, c): g groups, r output channels of a group,
c weights of one output channel. A `Geometry` finds those rows in a layer's input and output tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.recipe.skipped_layer import SkippedLayer

Float32 = NDArray[np.float32]
Indices = NDArray[np.intp]

VALUES_AT_ONCE = 2**16  # that are gathered, to be turned while they are in the processor's cache


class Geometry(ABC):
    """How one kind of layer maps between tensors and matrices."""

    @abstractmethod
    def matrix(self, tensor: Float32) -> Float32:
        """The weight tensor as (g, r, c)."""

    @abstractmethod
    def tensor(self, matrix: Float32, shape: Sequence[int]) -> Float32:
        """Inverse of `matrix`, for a weight tensor of `shape`."""

    @abstractmethod
    def input_rows(self, value: Float32, index: Indices) -> Float32:
        """Input rows (g, n, c) at the ascending flat output positions `index` (n,) of the input tensor `value`."""

    @abstractmethod
    def output_rows(self, value: Float32, index: Indices) -> Float32:
        """Output rows (g, n, r) at the flat positions `index` (n,) of the output tensor `value`."""

    @property
    def channel_axis(self) -> int:
        """The axis of channels in an output tensor."""
        return 1

    @property
    def taps(self) -> int:
        """Columns of one input channel: positions of the kernel."""
        return 1

    @abstractmethod
    def input_positions(self, input_shape: Sequence[int]) -> int:
        """How many rows an input tensor of this shape makes."""

    @abstractmethod
    def positions(self, output_shape: Sequence[int]) -> int:
        """How many rows an output tensor of this shape holds."""


@dataclass(frozen=True, slots=True)
class MatMulGeometry(Geometry):
    """X W with a constant of two dimensions (or leading ones), on either side, transposed or not."""

    rows_last: bool  # the weight tensor is stored (r, c)
    input_transposed: bool  # the activations are stored (..., c, n)
    output_transposed: bool  # the output is stored (..., r, n): the constant is the first factor

    @property
    def channel_axis(self) -> int:
        return -2 if self.output_transposed else -1

    def matrix(self, tensor: Float32) -> Float32:
        flat = tensor.reshape(tensor.shape[-2:])
        return (flat if self.rows_last else flat.T)[None]

    def tensor(self, matrix: Float32, shape: Sequence[int]) -> Float32:
        return np.ascontiguousarray(matrix[0] if self.rows_last else matrix[0].T).reshape(shape)

    def input_rows(self, value: Float32, index: Indices) -> Float32:
        return self._rows(value, self.input_transposed, index)

    def output_rows(self, value: Float32, index: Indices) -> Float32:
        return self._rows(value, self.output_transposed, index)

    def input_positions(self, input_shape: Sequence[int]) -> int:
        return int(np.prod(input_shape)) // int(input_shape[-2 if self.input_transposed else -1])

    def positions(self, output_shape: Sequence[int]) -> int:
        return int(np.prod(output_shape)) // int(output_shape[self.channel_axis])

    @staticmethod
    def _rows(value: Float32, transposed: bool, index: Indices) -> Float32:
        table = np.swapaxes(value, -1, -2) if transposed else value
        return table.reshape(-1, table.shape[-1])[index][None]


TABLE = MatMulGeometry(rows_last=True, input_transposed=False, output_transposed=False)  # of rows that are looked up


@dataclass(frozen=True, slots=True)
class ConvolutionGeometry(Geometry):
    """A convolution over any number of spatial axes; grouped and depthwise ones carry their groups in front."""

    groups: int
    grouped: bool  # the weight tensor has its own axis of groups
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    def matrix(self, tensor: Float32) -> Float32:
        outputs = tensor.shape[1] if self.grouped else tensor.shape[0]
        return tensor.reshape(self.groups, outputs, -1)

    def tensor(self, matrix: Float32, shape: Sequence[int]) -> Float32:
        return np.ascontiguousarray(matrix).reshape(shape)

    def input_rows(self, value: Float32, index: Indices) -> Float32:
        pixels = np.moveaxis(value, 1, -1)
        if self._pointwise and pixels.flags.c_contiguous:
            return self._by_group(pixels.reshape(-1, value.shape[1]).take(index, axis=0))
        batch, *where = np.unravel_index(index, (len(value), *self._output_shape(value.shape[2:])))
        read, inside = self._read(where, value.shape[2:])
        rows = np.empty((self.groups, len(index), value.shape[1] // self.groups, self.taps), value.dtype)
        if pixels.flags.c_contiguous:
            self._take_pixels(pixels.reshape(-1, value.shape[1]), batch[:, None] * prod(value.shape[2:]) + read, inside, rows)
        else:
            self._take_planes(value, batch, read, rows)
            rows *= inside[:, None]
        return rows.reshape(self.groups, len(index), -1)

    def _take_planes(self, value: Float32, batch: Indices, read: Indices, rows: Float32) -> None:
        """Copy what taps `read` (n, taps), flat in samples `batch` (n,), into `rows` (g, n, channels, taps)."""
        ends = np.searchsorted(batch, np.arange(len(value) + 1)).tolist()
        for sample, (start, stop) in zip(value, pairwise(ends), strict=True):
            found = sample.reshape(value.shape[1], -1).take(read[start:stop], axis=1)  # (channels, n, taps)
            rows[:, start:stop] = found.reshape(self.groups, rows.shape[2], *found.shape[1:]).swapaxes(1, 2)

    def _take_pixels(self, pixels: Float32, read: Indices, inside: NDArray[np.bool_], rows: Float32) -> None:
        """The same from `pixels` (all, channels), where all samples follow one another; zeros where a tap is not `inside`."""
        step = max(VALUES_AT_ONCE // (self.taps * pixels.shape[1]), 1)
        for start in range(0, len(read), step):
            found = pixels.take(read[start : start + step], axis=0)  # (n, taps, channels)
            found[~inside[start : start + step]] = 0
            rows[:, start : start + step] = found.reshape(len(found), self.taps, self.groups, -1).transpose(2, 0, 3, 1)

    def output_rows(self, value: Float32, index: Indices) -> Float32:
        batch, *where = np.unravel_index(index, (value.shape[0], *value.shape[2:]))
        return self._by_group(value[_at(batch, where)])

    def input_positions(self, input_shape: Sequence[int]) -> int:
        return int(input_shape[0]) * prod(self._output_shape(input_shape[2:]))

    def positions(self, output_shape: Sequence[int]) -> int:
        return int(output_shape[0]) * int(np.prod(output_shape[2:]))

    def _by_group(self, pixels: Float32) -> Float32:
        """Rows (n, channels) as (g, n, channels of a group)."""
        return np.ascontiguousarray(pixels.reshape(len(pixels), self.groups, -1).swapaxes(0, 1))

    @property
    def _pointwise(self) -> bool:
        """Whether every output position reads the same position of the input, and no other."""
        return self.taps == 1 and set(self.strides) == {1} and set(self.pads) == {(0, 0)}

    def _output_shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Positions of the kernel on every spatial axis of an input."""
        axes = zip(sizes, self.kernel, self.strides, self.dilations, self.pads, strict=True)
        return tuple((size + sum(pad) - (k - 1) * d - 1) // stride + 1 for size, k, stride, d, pad in axes)

    def _read(self, where: Sequence[Indices], sizes: Sequence[int]) -> tuple[Indices, NDArray[np.bool_]]:
        """Where each tap reads at output positions (n, taps): flat in an input of these sizes, and whether it is inside."""
        flat, inside = np.zeros((), np.intp), np.ones((), np.bool_)
        axes = zip(where, sizes, self.kernel, self.strides, self.dilations, self.pads, strict=True)
        for at, size, k, stride, dilation, (pad, _) in axes:
            place = (at[:, None] * stride - pad + np.arange(k) * dilation).reshape(len(at), *(1,) * (flat.ndim - 1), k)
            flat = flat[..., None] * size + np.clip(place, 0, size - 1)
            inside = inside[..., None] & (place >= 0) & (place < size)
        return flat.reshape(-1, self.taps), inside.reshape(-1, self.taps)


@dataclass(frozen=True, slots=True)
class TransposedGeometry(Geometry):
    """A transposed convolution: an ordinary one over the input with zeros put between its elements, kernel mirrored."""

    grouped: bool
    upsampling: tuple[int, ...]
    inner: ConvolutionGeometry

    @property
    def taps(self) -> int:
        return self.inner.taps

    def matrix(self, tensor: Float32) -> Float32:
        return self.inner.matrix(self._mirrored(tensor))

    def tensor(self, matrix: Float32, shape: Sequence[int]) -> Float32:
        kernel = tuple(shape[3:] if self.grouped else shape[2:])
        outputs, inputs = (shape[2], shape[1]) if self.grouped else (shape[1], shape[0])
        leading = (shape[0], outputs, inputs) if self.grouped else (outputs, inputs)
        return np.ascontiguousarray(self._mirrored(matrix.reshape(*leading, *kernel)))

    def input_rows(self, value: Float32, index: Indices) -> Float32:
        stuffed = np.zeros((*value.shape[:2], *self._stuffed(value.shape[2:])), value.dtype)
        every: tuple[Any, ...] = (..., *(slice(None, None, u) for u in self.upsampling))
        stuffed[every] = value
        return self.inner.input_rows(stuffed, index)

    def output_rows(self, value: Float32, index: Indices) -> Float32:
        return self.inner.output_rows(value, index)

    def input_positions(self, input_shape: Sequence[int]) -> int:
        return self.inner.input_positions((*input_shape[:2], *self._stuffed(input_shape[2:])))

    def positions(self, output_shape: Sequence[int]) -> int:
        return self.inner.positions(output_shape)

    def _stuffed(self, sizes: Sequence[int]) -> list[int]:
        """The sizes of an input with zeros between its elements."""
        return [(n - 1) * u + 1 for n, u in zip(sizes, self.upsampling, strict=True)]

    def _mirrored(self, tensor: Float32) -> Float32:
        """Swap input and output channels and mirror every spatial axis; its own inverse."""
        first = 1 if self.grouped else 0
        swapped = np.swapaxes(tensor, first, first + 1)
        return np.flip(swapped, axis=tuple(range(first + 2, tensor.ndim)))


@dataclass(frozen=True, slots=True)
class Layer:
    """One constant weight and the operations that use it (more than one where a network shares it)."""

    name: str  # friendly name of the first operation
    type: str  # its operation type
    nodes: tuple[str, ...]  # friendly names of all of them
    port: int  # which input carries the weight
    shape: tuple[int, ...]  # of the weight tensor
    geometry: Geometry  # of the first operation
    geometries: tuple[Geometry, ...] = ()  # of all of them, where they read inputs in different ways
    others: tuple[str, ...] = ()  # operations that read the same constant as another matrix, or not as one at all

    def used_by(self, nodes: Sequence[str]) -> "Layer":
        """The same weight, as some of the operations use it."""
        return replace(self, nodes=tuple(nodes), geometries=tuple(map(self.geometry_of, nodes)))

    @property
    def readers(self) -> tuple[str, ...]:
        """All operations that read the weight."""
        return (*self.nodes, *self.others)

    def geometry_of(self, node: str) -> Geometry:
        """How one of the operations maps between tensors and matrices."""
        return self.geometries[self.nodes.index(node)] if self.geometries else self.geometry

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape))

    @property
    def cols(self) -> int:
        """Number of weights of one output channel."""
        return self.size // self.channels

    @property
    def channels(self) -> int:
        """Number of output channels over all groups."""
        groups, rows, _ = self.geometry.matrix(np.broadcast_to(np.float32(0), self.shape)).shape
        return int(groups * rows)


def find_layers(model: ov.Model) -> tuple[list[Layer], list[SkippedLayer]]:
    """Every compressible layer of a model in topological order, and what else holds weights with the reason to skip it.

    A constant is one layer, whatever else reads it.
    """
    found: dict[str, list[tuple[ov.Node, int]]] = {}
    skipped: dict[str, list[SkippedLayer]] = {}
    present = set()
    for node in model.get_ordered_ops():
        present.add(node.friendly_name)
        port = _weight_port(node)
        if port is None:
            continue
        reason = _reason_to_skip(node, port)
        weight = _source(node, port).friendly_name
        if reason is not None:
            skipped.setdefault(weight, []).append(SkippedLayer(node.friendly_name, node.get_type_name(), reason))
        else:
            found.setdefault(weight, []).append((node, port))
    left = [entry for weight, entries in skipped.items() if weight not in found for entry in entries]
    return [_layer(users, present) for users in found.values()], left


def find_tables(model: ov.Model) -> list[Layer]:
    """Every table of embeddings in topological order: a constant matrix of which nothing but rows is looked up."""
    found: dict[str, list[ov.Node]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Gather" and _weight_port(node) == 0 and _looks_up_rows(node):
            found.setdefault(_source(node, 0).friendly_name, []).append(node)
    return [
        Layer(
            nodes[0].friendly_name,
            "Gather",
            tuple(node.friendly_name for node in nodes),
            0,
            tuple(_source(nodes[0], 0).shape),
            TABLE,
        )
        for nodes in found.values()
        if len(nodes) == len(_source(nodes[0], 0).output(0).get_target_inputs())
    ]


def _looks_up_rows(node: ov.Node) -> bool:
    table, axis = _source(node, 0), _source(node, 2)
    rows = axis.get_type_name() == "Constant" and int(axis.get_data().reshape(-1)[0]) == 0
    return rows and len(table.shape) == 2 and table.get_element_type() == ov.Type.f32


def nodes_by_name(model: ov.Model) -> dict[str, ov.Node]:
    """Operations of a model by friendly name."""
    return {node.friendly_name: node for node in model.get_ops()}


COMPRESSIBLE = {
    "MatMul",
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
}
INTEGERS = "the weights are integers"
RECURRENT = {"LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell"}
NAMED_REASONS = {
    "Gather": "an embedding table is looked up, not multiplied",
    "DeformableConvolution": "the sampling grid depends on the data",
    "BinaryConvolution": "the weights are binary already",
    "Einsum": "the contraction is not a plain matrix product",
    "If": "weights inside a branch are not reached",
    "Loop": "weights inside a loop are not reached",
    "TensorIterator": "weights inside a loop are not reached",
} | dict.fromkeys(RECURRENT, "a recurrent cell feeds its outputs back into the weights")


def _weight_port(node: ov.Node) -> int | None:
    kind = node.get_type_name()
    if kind in ("If", "Loop", "TensorIterator"):
        return 0
    if kind == "MatMul":
        return next((port for port in (1, 0) if _is_constant(node, port)), None)
    if kind == "Gather":
        is_table = _is_constant(node, 0) and len(_source(node, 0).shape) >= 2 and not _is_constant(node, 1)
        return 0 if is_table else None
    if kind in COMPRESSIBLE or kind in NAMED_REASONS:
        return next((port for port in range(1, node.get_input_size()) if _is_constant(node, port)), None)
    return None


def _reason_to_skip(node: ov.Node, port: int) -> str | None:
    kind = node.get_type_name()
    if kind in NAMED_REASONS:
        return NAMED_REASONS[kind]
    if not _source(node, port).get_element_type().is_real():
        return INTEGERS
    shape = _source(node, port).shape
    if kind == "MatMul" and (len(shape) < 2 or int(np.prod(shape)) != shape[-1] * shape[-2]):
        return "the constant is a stack of matrices" if len(shape) > 2 else "the constant is a vector"
    if kind == "MatMul" and node.input_value(1 - port).get_partial_shape().rank.get_length() < 2:
        return "the input is a vector"
    if kind.endswith("BackpropData") and node.get_input_size() > 2:
        return "the output shape is computed at run time"
    return None


def _layer(users: Sequence[tuple[ov.Node, int]], present: Collection[str]) -> Layer:
    """The layer of a constant: it is solved for the operations that read it as one matrix, for most of them at the least."""
    alike: dict[tuple[str, int, bool | None], list[ov.Node]] = {}
    for node, port in users:
        turned = node.get_attributes().get("transpose_b" if port else "transpose_a")
        alike.setdefault((node.get_type_name(), port, turned), []).append(node)
    (kind, port, _), nodes = max(alike.items(), key=lambda entry: len(entry[1]))
    names = tuple(node.friendly_name for node in nodes)
    geometries = tuple(_geometry(node, port) for node in nodes)
    weight = _source(nodes[0], port)
    readers = [reader.get_node().friendly_name for reader in weight.output(0).get_target_inputs()]
    return Layer(
        name=names[0],
        type=kind,
        nodes=names,
        port=port,
        shape=tuple(weight.shape),
        geometry=geometries[0],
        geometries=geometries if len(set(geometries)) > 1 else (),
        others=tuple(sorted({*readers} & {*present} - {*names})),
    )


def _geometry(node: ov.Node, port: int) -> Geometry:
    kind = node.get_type_name()
    attributes = node.get_attributes()
    if kind == "MatMul":
        flags = (bool(attributes["transpose_a"]), bool(attributes["transpose_b"]))
        if port == 1:
            return MatMulGeometry(rows_last=flags[1], input_transposed=flags[0], output_transposed=False)
        return MatMulGeometry(rows_last=not flags[0], input_transposed=not flags[1], output_transposed=True)
    shape = tuple(_source(node, port).shape)
    grouped = kind.startswith("Group")
    kernel = shape[3:] if grouped else shape[2:]
    forward = ConvolutionGeometry(
        groups=shape[0] if grouped else 1,
        grouped=grouped,
        kernel=kernel,
        strides=tuple(attributes["strides"]),
        dilations=tuple(attributes["dilations"]),
        pads=tuple(zip(attributes["pads_begin"], attributes["pads_end"], strict=True)),
    )
    return _transposed(forward, attributes) if kind.endswith("BackpropData") else forward


def _transposed(forward: ConvolutionGeometry, attributes: dict[str, list[int]]) -> TransposedGeometry:
    extra = attributes.get("output_padding") or [0] * len(forward.kernel)
    pads = tuple(
        ((k - 1) * d - begin, (k - 1) * d - end + more)
        for k, d, (begin, end), more in zip(forward.kernel, forward.dilations, forward.pads, extra, strict=True)
    )
    inner = ConvolutionGeometry(
        forward.groups, forward.grouped, forward.kernel, (1,) * len(forward.kernel), forward.dilations, pads
    )
    return TransposedGeometry(grouped=forward.grouped, upsampling=forward.strides, inner=inner)


def _at(batch: Indices, where: Sequence[Indices]) -> tuple[Any, ...]:
    """The index of all channels at some positions."""
    return (batch, slice(None), *where)


def _source(node: ov.Node, port: int) -> ov.Node:
    return node.input_value(port).get_node()


def _is_constant(node: ov.Node, port: int) -> bool:
    return bool(_source(node, port).get_type_name() == "Constant")
