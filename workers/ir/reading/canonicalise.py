"""One plain form for every model: float32 arithmetic, folded constants, fused normalisation.

After `canonicalise`, a weight and its bias are float32 Constants, whatever framework, shape chain or storage they came from.
Axes that are open stay open: the operations that compute shapes from them are kept.
"""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino._offline_transformations import apply_moc_transformations

from workers.ir.graph.origins import hand_on
from workers.ir.reading.error_translation import refusing

OTHER_FLOATS = {ov.Type.f16, ov.Type.bf16, ov.Type.f64}
OTHER_FLOAT_NAMES = {kind.get_type_name() for kind in OTHER_FLOATS}


def canonicalise(model: ov.Model) -> None:
    """Bring `model` into plain form, in place."""
    with refusing("simplify the model"):
        use_float32(model)
        apply_moc_transformations(model, cf=True)
        put_weights_second(model)


def put_weights_second(model: ov.Model) -> None:
    """Write W X with a constant W as the transpose of Xᵀ Wᵀ: the form that layers are otherwise in, and that NNCF expects."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.input_value(0).get_node().get_type_name() != "Constant":
            continue
        weight, values = node.input_value(0), node.input_value(1)
        rank = values.get_partial_shape().rank
        if len(weight.shape) != 2 or rank.is_dynamic or rank.get_length() < 2:
            continue
        flags, length = node.get_attributes(), rank.get_length()
        product = ops.matmul(values, weight, not flags["transpose_b"], not flags["transpose_a"], name=node.friendly_name)
        hand_on(node, product)
        order = [*range(length - 2), length - 1, length - 2]
        turned = ops.transpose(product, ops.constant(np.array(order, np.int64))).output(0)
        turned.set_names(node.output(0).get_names())
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(turned)
    model.validate_nodes_and_infer_types()


def use_float32(model: ov.Model) -> None:
    """Compute in float32 what the model computes in another float type; its inputs and outputs keep their types."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Parameter"]
    if not any(
        port.get_element_type() in OTHER_FLOATS for node in [*nodes, *model.get_parameters()] for port in node.outputs()
    ):
        return
    types = [port.get_element_type() for port in model.outputs]
    for parameter in model.get_parameters():
        if parameter.get_element_type() in OTHER_FLOATS:
            _convert(parameter.output(0), ov.Type.f32, list(parameter.output(0).get_target_inputs()))
    for node in nodes:
        _retype(node)
    for result, kind in zip(model.get_results(), types, strict=True):
        if kind in OTHER_FLOATS:
            _convert(result.input_value(0), kind, [result.input(0)])
    model.validate_nodes_and_infer_types()


def _convert(port: ov.Output, kind: ov.Type, users: Sequence[ov.Input]) -> None:
    converted = ops.convert(port, kind.get_type_name())
    for user in users:
        user.replace_source_output(converted.output(0))


def _retype(node: ov.Node) -> None:
    if node.get_type_name() == "Constant" and node.get_element_type() in OTHER_FLOATS:
        new = ops.constant(node.get_data(dtype="float32"), name=node.friendly_name)
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(new.output(0))
        return
    for key, value in node.get_attributes().items():
        if isinstance(value, str) and value in OTHER_FLOAT_NAMES:
            node.set_attribute(key, "f32")
