"""Which channels of a model go together: what must be removed with an output channel of a layer.

Every output channel of a layer gets a number, which follows it through the operations that keep channels apart: activations,
pooling, depthwise convolutions, concatenation, flattening. Where two channels are added or multiplied they become one. What
reads a channel in any other way locks it, with the reason. On the way every constant is noted that has an entry for each
channel: all of them lose that entry when the channel is removed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import openvino as ov

from workers.ir.graph.layers import Indices, Layer, MatMulGeometry
from workers.ir.graph.segments import Key, tensor_key


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels along one axis of a tensor, by number."""

    axis: int
    numbers: Indices


@dataclass(frozen=True, slots=True)
class ChannelConstant:
    """A constant input of an operation with an entry for each channel along `axis`; None: a shape that holds their number."""

    node: str
    port: int
    axis: int | None
    position: int  # in a shape
    numbers: Indices


@dataclass(slots=True)
class Coupling:
    """What was found. Numbers are resolved by `root`: coupled channels have the same."""

    parents: list[int] = field(default_factory=list)
    locks: dict[int, str] = field(default_factory=dict)
    entries: list[ChannelConstant] = field(default_factory=list)
    outputs: dict[str, Indices] = field(default_factory=dict)  # by layer: the numbers of its output channels
    inputs: dict[str, Indices] = field(default_factory=dict)  # by layer: the numbers of its input channels, -1 for none

    def root(self, numbers: Indices) -> Indices:
        """The number that stands for all channels coupled to each of these."""
        return np.array([self._find(int(number)) for number in numbers], np.intp)

    def reasons(self) -> dict[int, str]:
        """Why channels stay, by root."""
        return {self._find(number): reason for number, reason in reversed(self.locks.items())}

    def fresh(self, count: int) -> Indices:
        """Numbers for `count` new channels."""
        first = len(self.parents)
        self.parents += range(first, first + count)
        return np.arange(first, first + count)

    def join(self, some: Indices, others: Indices) -> None:
        """Couple channels pairwise."""
        for a, b in zip(some, others, strict=True):
            low, high = sorted((self._find(int(a)), self._find(int(b))))
            self.parents[high] = low

    def lock(self, numbers: Iterable[int], reason: str) -> None:
        """Say why channels stay; the first reason counts."""
        for number in numbers:
            self.locks.setdefault(int(number), reason)

    def _find(self, number: int) -> int:
        if number < 0:
            return number
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number


def couple(model: ov.Model, layers: Sequence[Layer]) -> Coupling:
    """Follow the channels of `layers` through the model; those that other operations with weights read stay."""
    own = {name: layer for layer in layers if len(layer.readers) == 1 for name in layer.nodes}
    walk = _Walk(own, {name for layer in layers if len(layer.readers) > 1 for name in layer.readers})
    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Constant", "Parameter"):
            walk.visit(node)
    return walk.coupling


class _Walk:
    """The channels of every tensor so far."""

    def __init__(self, layers: Mapping[str, Layer], sharing: Collection[str]) -> None:
        """`sharing` operations read a weight that others read too: its channels stay."""
        self.layers, self.sharing = layers, sharing
        self.coupling = Coupling()
        self.known: dict[Key, Channels] = {}

    def visit(self, node: ov.Node) -> None:
        """Apply the rule for an operation; without one, or where it does not hold, what is read stays."""
        rule = RULES.get(node.get_type_name())
        named = node.friendly_name in self.layers
        if not named and not any(self.read(node)):
            return
        result = rule(self, node) if rule else None
        if result is None:
            self.lock_inputs(node)
        else:
            self.known[tensor_key(node.output(0))] = result

    def read(self, node: ov.Node) -> list[Channels | None]:
        """The channels of every input, where they are known."""
        return [self.known.get(tensor_key(value)) for value in node.input_values()]

    def lock_inputs(self, node: ov.Node) -> None:
        """What this operation reads stays."""
        kind = node.get_type_name()
        reason = "it is an output of the model" if kind == "Result" else f"read by {kind} {node.friendly_name!r}"
        if node.friendly_name in self.sharing:
            reason += ", whose weight other operations read too"
        for channels in self.read(node):
            self.coupling.lock([] if channels is None else channels.numbers, reason)

    def note(self, node: ov.Node, port: int, axis: int | None, numbers: Indices, position: int = 0) -> None:
        """An input of `node` has an entry for each channel."""
        self.coupling.entries.append(ChannelConstant(node.friendly_name, port, axis, position, numbers))


Rule = Callable[[_Walk, ov.Node], Channels | None]


def _layer(walk: _Walk, node: ov.Node) -> Channels | None:
    layer = walk.layers.get(node.friendly_name)
    if layer is None:
        return None
    geometry = layer.geometry
    matrix = isinstance(geometry, MatMulGeometry)
    if isinstance(geometry, MatMulGeometry) and (geometry.output_transposed or geometry.input_transposed):
        return None
    data = 1 - layer.port if matrix else 0
    axis = len(shape_of(node.input_value(data))) - 1 if matrix else 1
    out, into = _weight_axes(layer)
    read = walk.known.get(tensor_key(node.input_value(data)))
    if read is not None and read.axis == axis:
        walk.coupling.inputs[layer.name] = read.numbers
        walk.note(node, layer.port, into, read.numbers)
    else:
        walk.lock_inputs(node)
    numbers = walk.coupling.fresh(layer.channels)
    walk.coupling.outputs[layer.name] = numbers
    walk.note(node, layer.port, out, numbers)
    return Channels(len(shape_of(node.output(0))) - 1 if matrix else 1, numbers)


def _weight_axes(layer: Layer) -> tuple[int, int]:
    """The axes of output and input channels in the weight tensor of an ungrouped layer."""
    if isinstance(layer.geometry, MatMulGeometry):
        last = len(layer.shape) - 1
        return (last - 1, last) if layer.geometry.rows_last else (last, last - 1)
    return (1, 0) if layer.type == "ConvolutionBackpropData" else (0, 1)


def _depthwise(walk: _Walk, node: ov.Node) -> Channels | None:
    layer, read = walk.layers.get(node.friendly_name), walk.read(node)[0]
    if layer is None or read is None or layer.shape[1:3] != (1, 1):
        return None
    walk.coupling.outputs[layer.name] = read.numbers
    walk.note(node, layer.port, 0, read.numbers)
    return read


def _kept_apart(walk: _Walk, node: ov.Node) -> Channels | None:
    return walk.read(node)[0]


def _pooled(walk: _Walk, node: ov.Node) -> Channels | None:
    read = walk.read(node)[0]
    return read if read is not None and read.axis == 1 and node.get_output_size() <= 2 else None


def _elementwise(walk: _Walk, node: ov.Node) -> Channels | None:
    rank = len(shape_of(node.output(0)))
    shapes = [shape_of(value) for value in node.input_values()]
    read = walk.read(node)
    axes = {found.axis + rank - len(shape) for found, shape in zip(read, shapes, strict=True) if found is not None}
    sizes = {found.numbers.size for found in read if found is not None}
    if len(axes) != 1 or len(sizes) != 1:
        return None
    (axis,), (size,) = axes, sizes
    numbers = next(found.numbers for found in read if found is not None)
    for port, (found, shape) in enumerate(zip(read, shapes, strict=True)):
        where = axis - (rank - len(shape))
        width = shape[where] if where >= 0 else 1
        if found is not None:
            walk.coupling.join(numbers, found.numbers)
        elif width == size and _is_constant(node, port):
            walk.note(node, port, where, numbers)
        elif width != 1:
            return None
    return Channels(axis, numbers)


def _slope(walk: _Walk, node: ov.Node) -> Channels | None:
    read, slope = walk.read(node)[0], shape_of(node.input_value(1))
    if read is None or read.axis != 1 or not _is_constant(node, 1):
        return None
    where = 0 if len(slope) == 1 else 1 - len(shape_of(node.input_value(0))) + len(slope)
    width = slope[where] if where >= 0 else 1
    if width == read.numbers.size:
        walk.note(node, 1, where, read.numbers)
    return read if width in (1, read.numbers.size) else None


def _concatenated(walk: _Walk, node: ov.Node) -> Channels | None:
    read = walk.read(node)
    axis = int(node.get_attributes()["axis"]) % len(shape_of(node.output(0)))
    known = [found for found in read if found is not None]
    if any(found.axis != axis for found in known):
        return None
    parts = []
    for found, value in zip(read, node.input_values(), strict=True):
        parts.append(walk.coupling.fresh(shape_of(value)[axis]) if found is None else found.numbers)
        if found is None:
            walk.coupling.lock(parts[-1], f"what {node.friendly_name!r} joins is not an output of a layer")
    return Channels(axis, np.concatenate(parts))


def _reduced(walk: _Walk, node: ov.Node) -> Channels | None:
    read = walk.read(node)[0]
    if read is None or not _is_constant(node, 1):
        return None
    rank = len(shape_of(node.input_value(0)))
    axes = {int(axis) % rank for axis in np.atleast_1d(node.input_value(1).get_node().data)}
    if read.axis in axes:
        return None
    kept = bool(node.get_attributes().get("keep_dims", False))
    return Channels(read.axis if kept else read.axis - sum(axis < read.axis for axis in axes), read.numbers)


def _transposed(walk: _Walk, node: ov.Node) -> Channels | None:
    read = walk.read(node)[0]
    if read is None or not _is_constant(node, 1):
        return None
    order = [int(axis) for axis in node.input_value(1).get_node().data]
    return Channels(order.index(read.axis), read.numbers) if order else None


def _reshaped(walk: _Walk, node: ov.Node) -> Channels | None:
    """The axis of channels stays one, or swallows those behind it: each channel is then several entries in a row."""
    read = walk.read(node)[0]
    before, after = shape_of(node.input_value(0)), shape_of(node.output(0))
    if read is None or -1 in (*before, *after):
        return None
    ahead = int(np.prod(before[: read.axis]))
    fitting = [
        axis
        for axis, size in enumerate(after)
        if int(np.prod(after[:axis])) == ahead and size % before[read.axis] == 0 and size > 0
    ]
    if not fitting or before[read.axis] == 1:
        return None
    numbers = np.repeat(read.numbers, after[fitting[0]] // before[read.axis])
    if node.get_type_name() == "Reshape" and not _note_pattern(walk, node, fitting[0], read.axis, numbers):
        return None
    return Channels(fitting[0], numbers)


def _note_pattern(walk: _Walk, node: ov.Node, axis: int, before: int, numbers: Indices) -> bool:
    """Note the shape that a Reshape is given, if it names the number of channels; whether it can follow a smaller one."""
    if not _is_constant(node, 1):
        return False
    size = int(node.input_value(1).get_node().data[axis])
    if size > 0:
        walk.note(node, 1, None, numbers, axis)
    return size != 0 or axis == before


def _padded(walk: _Walk, node: ov.Node) -> Channels | None:
    read = walk.read(node)[0]
    if read is None or not (_is_constant(node, 1) and _is_constant(node, 2)):
        return None
    grown = [int(node.input_value(port).get_node().data[read.axis]) for port in (1, 2)]
    return read if grown == [0, 0] else None


def shape_of(value: ov.Output) -> list[int]:
    """The shape of a tensor, -1 where an axis is open."""
    return [-1 if axis.is_dynamic else axis.get_length() for axis in value.get_partial_shape()]


def _is_constant(node: ov.Node, port: int) -> bool:
    return bool(node.input_value(port).get_node().get_type_name() == "Constant")


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Convolution", "ConvolutionBackpropData", "MatMul"), _layer),
    "GroupConvolution": _depthwise,
    **dict.fromkeys(
        (
            *("Relu", "Sigmoid", "HSigmoid", "HardSigmoid", "Tanh", "Gelu", "Elu", "Selu", "Clamp", "HSwish", "Swish", "Mish"),
            *("SoftPlus", "SoftSign", "Abs", "Exp", "Sqrt", "Negative", "Erf", "Floor", "Round", "Sign", "Convert"),
        ),
        _kept_apart,
    ),
    **dict.fromkeys(("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool"), _pooled),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Power"), _elementwise),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), _reduced),
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), _reshaped),
    "PRelu": _slope,
    "Concat": _concatenated,
    "Transpose": _transposed,
    "Pad": _padded,
}
