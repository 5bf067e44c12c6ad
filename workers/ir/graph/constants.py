"""The constants of a model: which a layer's weight comes from, and which are the same."""

from math import prod

import openvino as ov

from workers.ir.graph.layers import Layer, nodes_by_name

DECODED_IN_USE = ("MatMul", "Gather")
DECODING = ("Multiply", "Subtract", "Convert", "Reshape")
MOVING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
FEW_BITS = ("i8", "u8", "i4", "u4", "nf4")
MOST_MERGED = 64  # bytes; larger equals are rare, and OpenVINO writes their bytes once anyway


def constants_of(model: ov.Model, layer: Layer) -> list[ov.Node]:
    """The constants that a layer's weight is computed from; the first has most elements: the weight itself."""
    found = _behind(nodes_by_name(model)[layer.nodes[0]].input_value(layer.port).get_node())
    return sorted(found.values(), key=lambda node: (-prod(node.shape), node.get_byte_size()))  # scales may take more bytes


def run_time_constants(model: ov.Model) -> set[str]:
    """The names of the constants of weights, and of their scales, that OpenVINO decodes as the model runs.

    Those of products and look-ups are, where they are kept in a few bits and activations in floating point.
    """
    kept: set[str] = set()
    for node in model.get_ops():
        if node.get_type_name() not in DECODED_IN_USE:
            continue
        for port, value in enumerate(node.input_values()):
            others = [_moved(other.get_node()) for number, other in enumerate(node.input_values()) if number != port]
            if is_decoded(value.get_node()) and "FakeQuantize" not in others:
                kept |= _behind(value.get_node()).keys()
    return kept


def _moved(node: ov.Node) -> str:
    """The type of the operation that a value comes from, before its elements were moved about."""
    while node.get_type_name() in MOVING:
        node = node.input_value(0).get_node()
    return str(node.get_type_name())


def is_decoded(node: ov.Node) -> bool:
    """Whether a value is a constant of integers, or codes of a few bits, times scales, as NNCF writes it."""
    steps = 0
    while node.get_type_name() in DECODING:
        node, steps = node.input_value(0).get_node(), steps + 1
    return bool(steps and node.get_type_name() == "Constant" and node.get_element_type().to_string() in FEW_BITS)


def _behind(node: ov.Node) -> dict[str, ov.Node]:
    """The constants that a value is computed from, by name."""
    found: dict[str, ov.Node] = {}
    stack = [node]
    while stack:
        node = stack.pop()
        if node.get_type_name() == "Constant":
            found[node.friendly_name] = node
        stack += [value.get_node() for value in node.input_values()]
    return found


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
