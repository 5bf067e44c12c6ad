"""Names for operations that have none, taken from their surroundings: OpenVINO's own count up through the life of a process."""

import re

import openvino as ov


def name_after_users(model: ov.Model) -> None:
    """Call an operation with a made-up name after the first operation that uses it, and a result after its number."""
    if re.fullmatch(r"Model\d+", model.friendly_name):
        model.friendly_name = "model"
    for number, result in enumerate(model.get_results()):
        result.friendly_name = f"result_{number}"
    for node in reversed(model.get_ordered_ops()):
        users = [user for port in node.outputs() for user in port.get_target_inputs()]
        if users and _is_made_up(node):
            node.friendly_name = min(f"{user.get_node().friendly_name}/{user.get_index()}" for user in users)
        else:
            node.friendly_name = str(node.friendly_name)  # sets it: a name that was only inherited is not copied


def _is_made_up(node: ov.Node) -> bool:
    kind = node.get_type_name()
    # a folded constant is called after the operation that it was folded from
    return bool(re.fullmatch(r"(.*/)?[A-Z]\w*_\d+(\.\d+)?" if kind == "Constant" else rf"{kind}_\d+", node.friendly_name))
