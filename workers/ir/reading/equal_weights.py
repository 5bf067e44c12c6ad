"""Weights that are equal become one constant.

Simplified by OpenVINO, a model has a copy of a weight for every product that reads it as its transpose, and exporters write
tied weights twice. What is one constant stays one through all that changes it.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import openvino as ov

from workers.ir.graph.layers import COMPRESSIBLE, Float32

FEWEST = 64  # elements; fewer may be equal by chance


def merge_equal_weights(model: ov.Model) -> None:
    """Let operations that read equal weights read one constant, in place; products turn it where theirs is its transpose."""
    kept: dict[tuple[int, ...], list[ov.Node]] = defaultdict(list)
    for weight in sorted(_weights(model), key=lambda node: "Gather" not in _readers(node)):  # look-ups cannot turn theirs
        alike = kept[tuple(sorted(weight.shape))]
        if not any(_merge(weight, other) for other in alike):
            alike.append(weight)
    model.validate_nodes_and_infer_types()


def _weights(model: ov.Model) -> Iterator[ov.Node]:
    """The constants that layers and look-ups read, but for those of few elements and of one value."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32 or len(node.shape) < 2:
            continue
        if _readers(node) & {*COMPRESSIBLE, "Gather"} and node.data.size >= FEWEST and np.ptp(node.data):
            yield node


def _readers(constant: ov.Node) -> set[str]:
    return {reader.get_node().get_type_name() for reader in constant.output(0).get_target_inputs()}


def _merge(weight: ov.Node, other: ov.Node) -> bool:
    """Let what reads `weight` read `other`, if they are equal or each other's transpose; whether they were."""
    values, kept = weight.data, other.data
    turned = not _equal(values, kept)
    if turned and (values.ndim > 2 or _readers(weight) != {"MatMul"} or not _equal(values, kept.T)):
        return False
    for reader in weight.output(0).get_target_inputs():
        reader.replace_source_output(other.output(0))
        if turned:
            node, flag = reader.get_node(), ("transpose_a", "transpose_b")[reader.get_index()]
            node.set_attribute(flag, not node.get_attributes()[flag])
    return True


def _equal(one: Float32, other: Float32) -> bool:
    """Whether all elements are equal; where they are not, the first row mostly tells already."""
    return one.shape == other.shape and np.array_equal(one[0], other[0]) and np.array_equal(one, other)
