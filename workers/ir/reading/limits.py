"""How large the tensors of a model may be: checked from its shapes alone, before anything is computed or allocated."""

from math import prod

import openvino as ov

from workers.errors import UnresolvedShape

MAX_TENSOR_BYTES = 2 * 2**30
MAX_TOTAL_BYTES = 64 * 2**30
MAX_OPERATIONS = 100_000


def check_sizes(model: ov.Model) -> None:
    """Refuse tensors that no machine of ours could hold, and graphs that no compiler would finish.

    Axes that are still open count as one. Raises UnresolvedShape naming the operation.
    """
    nodes = model.get_ordered_ops()
    if len(nodes) > MAX_OPERATIONS:
        raise UnresolvedShape(
            f"The model has {len(nodes)} operations; the limit is {MAX_OPERATIONS}.", hint="Simplify the model."
        )
    total = 0
    for node in nodes:
        largest = max((tensor_bytes(port) for port in node.outputs()), default=0)
        if largest > MAX_TENSOR_BYTES:
            name, kind = node.friendly_name, node.get_type_name()
            raise UnresolvedShape(
                f"{kind} {name!r} computes a tensor of {largest} bytes; the limit is {MAX_TENSOR_BYTES}.", hint=HINT
            )
        total += largest
    if total > MAX_TOTAL_BYTES:
        raise UnresolvedShape(f"The tensors of the model add up to {total} bytes; the limit is {MAX_TOTAL_BYTES}.", hint=HINT)


HINT = "Give smaller input shapes, or correct the shape that the model asks for."


def tensor_bytes(port: ov.Output) -> int:
    """Bytes of a tensor, in unbounded integers: a hostile shape overflows OpenVINO's own count."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return 0
    lengths = [dimension.get_length() if dimension.is_static else 1 for dimension in shape]
    return prod(lengths) * int(port.get_element_type().bitwidth) // 8
