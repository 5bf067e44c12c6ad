"""The same model for many samples at once."""

import re

import openvino as ov
from openvino._offline_transformations import apply_moc_transformations

from workers.ir.reading.canonicalise import set_batch


def rebatch(model: ov.Model, size: int) -> ov.Model:
    """A copy of a model of batch 1 for `size` samples at once, with the shape computations of that size folded.

    Raises UnresolvedShape where the shapes do not go together.
    """
    copy = model.clone()
    set_batch(copy, [port.get_any_name() for port in copy.inputs], size)
    apply_moc_transformations(copy, cf=True)
    name_nodes(copy)
    return copy


def name_nodes(model: ov.Model) -> None:
    """Name the operations that have no name of their own: a generated one counts up and changes whenever a model is copied."""
    for index, node in enumerate(model.get_ordered_ops()):
        if re.fullmatch(rf"{node.get_type_name()}_\d+", node.friendly_name):
            node.friendly_name = f"{node.get_type_name().lower()}_{index}"
        else:
            node.friendly_name = str(node.friendly_name)  # sets it: a name that was only inherited is not copied either
