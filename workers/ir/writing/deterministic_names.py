"""Names for operations that have none: OpenVINO's own count up through the life of a process."""

import re

import openvino as ov


def number_operations(model: ov.Model) -> None:
    """Name operations with a made-up name by their kind and place in the model, such as convert.12."""
    if re.fullmatch(r"Model\d+", model.friendly_name):
        model.friendly_name = "model"
    for place, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        # setting a name anew has an effect as well: one that was only inherited is not copied
        node.friendly_name = f"{kind.lower()}.{place}" if _is_made_up(node) else str(node.friendly_name)


def _is_made_up(node: ov.Node) -> bool:
    kind = node.get_type_name()
    # a folded constant is called after the operation that it was folded from
    return bool(re.fullmatch(r"(.*/)?[A-Z]\w*_\d+(\.\d+)?" if kind == "Constant" else rf"{kind}_\d+", node.friendly_name))
