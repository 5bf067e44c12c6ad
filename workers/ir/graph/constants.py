"""The constants of a model: which a layer's weight comes from, and which are the same."""

from math import prod

import openvino as ov

from workers.ir.graph.layers import Layer, nodes_by_name

MOST_MERGED = 64  # bytes; larger equals are rare, and OpenVINO writes their bytes once anyway


def constants_of(model: ov.Model, layer: Layer) -> list[ov.Node]:
    """The constants that a layer's weight is computed from; the first has most elements: the weight itself."""
    found: dict[str, ov.Node] = {}
    stack = [nodes_by_name(model)[layer.nodes[0]].input_value(layer.port).get_node()]
    while stack:
        node = stack.pop()
        if node.get_type_name() == "Constant":
            found[node.friendly_name] = node
        stack += [value.get_node() for value in node.input_values()]
    return sorted(found.values(), key=lambda node: (-prod(node.shape), node.get_byte_size()))  # scales may take more bytes


def merge_constants(model: ov.Model) -> None:
    """Keep one of equal small constants: each takes some 250 bytes of .xml, and a quantised model has hundreds."""
    kept: dict[tuple[str, tuple[int, ...], bytes], ov.Output] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_byte_size() > MOST_MERGED:
            continue
        key = (node.get_element_type().to_string(), tuple(node.shape), node.data.tobytes())
        first = kept.setdefault(key, node.output(0))
        if first.get_node().friendly_name == node.friendly_name:
            continue
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(first)
