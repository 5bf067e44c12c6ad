"""Channels taken out of a model for good: every constant that has an entry for them becomes shorter."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.channels.groups import ChannelConstant, Coupling
from workers.ir.graph.layers import nodes_by_name


def remove_channels(model: ov.Model, coupling: Coupling, removed: NDArray[np.bool_]) -> None:
    """Remove the channels whose number is True in `removed`; coupled ones must be removed together.

    The outputs stay as they are where all weights that read the removed channels are zero.
    """
    nodes = nodes_by_name(model)
    for entry in coupling.entries:
        kept = ~removed[entry.numbers]
        if not kept.all():
            _shorten(nodes[entry.node], entry, kept)
    model.validate_nodes_and_infer_types()


def _shorten(node: ov.Node, entry: ChannelConstant, kept: NDArray[np.bool_]) -> None:
    old = node.input_value(entry.port).get_node()
    values = np.array(old.data)
    if entry.axis is None:
        values[entry.position] = np.count_nonzero(kept)
    else:
        values = np.compress(kept, values, axis=entry.axis)
    new = ops.constant(np.ascontiguousarray(values), dtype=old.get_element_type(), name=old.friendly_name)
    node.input(entry.port).replace_source_output(new.output(0))
