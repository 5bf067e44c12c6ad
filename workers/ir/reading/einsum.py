"""Einsum with a constant that is a matrix product in other words: written as one, so that it is a layer."""

from typing import Any, NamedTuple

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.graph.origins import hand_on


class Product(NamedTuple):
    """`input` x `weight` over some axes: the input's last, the weight's first; what is left of both is the output."""

    lead: int  # axes of the input that stay
    contracted: int  # axes that are summed over
    flipped: bool  # the weight has the contracted axes last


def matrix_product(equation: str) -> Product | None:
    """How an equation of two operands, the second constant, is a matrix product; None where it is not."""
    operands, arrow, output = equation.replace(" ", "").partition("->")
    first, _, second = operands.partition(",")
    if not arrow or "," in second or "." in equation or len(set(first)) < len(first) or len(set(second)) < len(second):
        return None
    summed = [axis for axis in first if axis in second]
    lead, fresh = first[: len(first) - len(summed)], [axis for axis in second if axis not in first]
    if not summed or not lead or list(first[len(lead) :]) != summed or output != lead + "".join(fresh):
        return None
    straight, flipped = [*summed, *fresh], [*fresh, *summed]
    return Product(len(lead), len(summed), list(second) != straight) if list(second) in (straight, flipped) else None


def write_products(model: ov.Model) -> None:
    """Replace every Einsum that is a matrix product with a constant, in place."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Einsum" and node.get_input_size() == 2:
            product = matrix_product(node.get_attributes()["equation"])
            weight, values = node.input_value(1).get_node(), node.input_value(0)
            if product and weight.get_type_name() == "Constant" and values.get_partial_shape().rank.is_static:
                _write(node, product, np.array(weight.get_data()))
    model.validate_nodes_and_infer_types()


def _write(node: ov.Node, product: Product, weight: NDArray[Any]) -> None:
    fresh = weight.shape[: weight.ndim - product.contracted] if product.flipped else weight.shape[product.contracted :]
    rows = int(np.prod(fresh, dtype=np.int64))
    columns = weight.size // max(rows, 1)
    matrix = weight.reshape(rows, columns) if product.flipped else weight.reshape(columns, rows).T
    values, kept = node.input_value(0), [0] * product.lead  # 0 in a Reshape: as it is
    if product.contracted > 1:
        values = ops.reshape(values, ops.constant(np.array([*kept, columns], np.int64)), True).output(0)
    constant = ops.constant(np.ascontiguousarray(matrix), name=node.input_value(1).get_node().friendly_name)
    made = ops.matmul(values, constant, False, True, name=node.friendly_name)
    hand_on(node, made)
    output = made.output(0)
    if len(fresh) != 1:
        output = ops.reshape(output, ops.constant(np.array([*kept, *fresh], np.int64)), True).output(0)
    output.set_names(node.output(0).get_names())
    for user in node.output(0).get_target_inputs():
        user.replace_source_output(output)
