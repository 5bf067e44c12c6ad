"""Whether a model normalises its activations as it runs (layer normalisation), which folded batch normalisation does not."""

import openvino as ov

SHAPING = frozenset({"Broadcast", "Reshape", "Unsqueeze", "Squeeze", "Convert"})


def normalises(model: ov.Model) -> bool:
    """Whether anything is divided by a root of what depends on the input: MVN, or the same written out."""
    return any(node.get_type_name() == "MVN" or _divides_by_root(node) for node in model.get_ops())


def _divides_by_root(node: ov.Node) -> bool:
    if node.get_type_name() != "Divide":
        return False
    divisor = node.input_value(1).get_node()
    while divisor.get_type_name() in SHAPING:
        divisor = divisor.input_value(0).get_node()
    return bool(divisor.get_type_name() == "Sqrt")  # of a constant it would have been folded
