"""What the inputs of a model want: shape, type, layout, batch axis, and the range of token numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openvino as ov

from workers.ir.graph.interface import Interface
from workers.ir.graph.probe import Values, draw_values

Layout = Literal["NCHW", "NHWC"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")

LEAST_IMAGE_SIDE = 8
MOST_CHANNELS = 4
PASSING = {"Reshape", "Unsqueeze", "Squeeze", "Convert", "Broadcast", "Transpose", "Slice", "StridedSlice", "Concat", "Clamp"}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a normalised model."""

    name: str
    names: tuple[str, ...]  # all that it goes by
    shape: tuple[int, ...]  # of one sample, with batch 1 where samples can be stacked
    dtype: np.dtype[Any]
    layout: Layout | None  # where the input is an image
    batch_axis: int | None  # 0 where samples can be stacked; None where the model takes one at a time
    source_shape: tuple[int, ...]  # in the source, -1 for an open axis
    vocabulary: int | None  # of token numbers: they run from 0 to vocabulary - 1

    @property
    def item(self) -> tuple[int, ...]:
        """The shape of one sample: without the batch axis where samples can be stacked."""
        return self.shape if self.batch_axis is None else self.shape[1:]

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value of an input of integers."""
        if self.dtype.kind not in "iu":
            return 0, 1
        limits = np.iinfo(self.dtype)
        if self.vocabulary is not None:
            return 0, min(self.vocabulary - 1, int(limits.max))
        if self.dtype.itemsize == 1:
            return int(limits.min), int(limits.max)
        return 1, 1  # lengths, flags and masks: the value that hides nothing

    def draw(self, rng: np.random.Generator) -> Values:
        """Values of the shape, type and range of the input, and of no meaning."""
        return draw_values(self.shape, self.dtype, self.bounds, rng)


def describe_inputs(model: ov.Model, interface: Interface) -> tuple[Input, ...]:
    """The inputs of a normalised model of static shapes; which axis is the samples' is not known yet."""
    return tuple(
        Input(
            name=wanted.name,
            names=tuple(sorted(wanted.names)),
            shape=tuple(port.shape),
            dtype=np.dtype(port.get_element_type().to_dtype()),
            layout=_layout(port, node),
            batch_axis=None,
            source_shape=tuple(-1 if axis.is_dynamic else axis.get_length() for axis in wanted.shape),
            vocabulary=_vocabulary(port),
        )
        for port, node, wanted in zip(model.inputs, model.get_parameters(), interface.inputs, strict=True)
    )


def _layout(port: ov.Output, parameter: ov.Node) -> Layout | None:
    shape, kind = list(port.shape), port.get_element_type()
    if len(shape) != 4 or not (kind.is_real() or kind == ov.Type.u8):
        return None
    declared = str(parameter.get_layout()).strip("[]").replace(",", "")
    candidates = [layout for layout in LAYOUTS if layout == declared] or LAYOUTS
    return next((layout for layout in candidates if _is_image(shape, layout)), None)


def _is_image(shape: list[int], layout: str) -> bool:
    channels, *sides = (shape[layout.index(axis)] for axis in "CHW")
    return channels <= MOST_CHANNELS and min(sides) >= LEAST_IMAGE_SIDE


def _vocabulary(port: ov.Output) -> int | None:
    """The least number of rows in the tables that an input of integers indexes; one-hot comparisons count as tables."""
    if port.get_element_type().is_real():
        return None
    return min(_table_rows(port, depth=12), default=None)


def _table_rows(port: ov.Output, depth: int) -> Iterable[int]:
    for user in port.get_target_inputs() if depth else ():
        node, index = user.get_node(), user.get_index()
        kind = node.get_type_name()
        if kind == "Gather" and index == 1:
            yield from _rows_of_gather(node)
        elif kind in ("Equal", "OneHot"):
            yield from _classes_of_one_hot(node, 1 - index if kind == "Equal" else 1)
        elif kind in PASSING and index == 0:
            yield from _table_rows(node.output(0), depth - 1)


def _rows_of_gather(gather: ov.Node) -> Iterable[int]:
    table, axis = gather.input_value(0), gather.input_value(2).get_node()
    if axis.get_type_name() == "Constant" and table.get_partial_shape().is_static:
        yield int(table.shape[int(axis.get_data().reshape(-1)[0])])


def _classes_of_one_hot(node: ov.Node, port: int) -> Iterable[int]:
    """A comparison with a range of numbers, or an operation that is given their count."""
    constant = node.input_value(port).get_node()
    if constant.get_type_name() != "Constant":
        return
    values = constant.get_data()
    if node.get_type_name() == "OneHot":
        yield int(values)
    elif values.size > 1:
        yield int(values.max()) + 1
