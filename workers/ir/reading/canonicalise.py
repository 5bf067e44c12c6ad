"""One plain form for every model: float32 arithmetic, folded constants, fused normalisation.

After `canonicalise`, a weight and its bias are float32 Constants, whatever framework, shape chain or storage they came from.
Axes that are open stay open: the operations that compute shapes from them are kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino._offline_transformations import apply_moc_transformations

from workers.ir.graph.origins import hand_on
from workers.ir.reading.einsum import write_products
from workers.ir.reading.equal_weights import merge_equal_weights
from workers.ir.reading.error_translation import refusing

OTHER_FLOATS = {ov.Type.f16, ov.Type.bf16, ov.Type.f64}
OTHER_FLOAT_NAMES = {kind.get_type_name() for kind in OTHER_FLOATS}


def canonicalise(model: ov.Model) -> None:
    """Bring `model` into plain form, in place."""
    with refusing("simplify the model"):
        use_float32(model)
        apply_moc_transformations(model, cf=True)
        write_products(model)
        if put_weights_second(model):
            apply_moc_transformations(model, cf=True)  # transposes that now follow one another
        turn_inputs(model)
        merge_equal_weights(model)


@contextmanager
def attention_as_it_came(model: ov.Model) -> Iterator[None]:
    """Keep attention from being fused in the block: with a cache as state, OpenVINO cannot run all that it fuses.

    What is read twice is not fused, so that each softmax is an output for the time being.
    """
    kept = [ops.result(node.output(0)) for node in model.get_ordered_ops() if node.get_type_name() == "Softmax"]
    model.add_results(kept)
    yield
    for result in kept:
        model.remove_result(result)


def put_weights_second(model: ov.Model) -> bool:
    """Write W X with a constant W as the transpose of Xᵀ Wᵀ, as layers are otherwise and NNCF expects them; whether any was."""
    found = False
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
        found = True
        turned = _turned(product.output(0), length)
        turned.set_names(node.output(0).get_names())
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(turned)
    model.validate_nodes_and_infer_types()
    return found


def turn_inputs(model: ov.Model) -> None:
    """Let an operation of its own transpose the input of a layer: NNCF does not expect the product to do that."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        values, rank = node.input_value(0), node.input_value(0).get_partial_shape().rank
        if node.get_attributes()["transpose_a"] and rank.is_static and rank.get_length() > 1:
            node.input(0).replace_source_output(_turned(values, rank.get_length()))
            node.set_attribute("transpose_a", False)
    model.validate_nodes_and_infer_types()


def _turned(values: ov.Output, rank: int) -> ov.Output:
    """The same with its last two axes exchanged."""
    order = [*range(rank - 2), rank - 1, rank - 2]
    return ops.transpose(values, ops.constant(np.array(order, np.int64))).output(0)


def use_float32(model: ov.Model) -> None:
    """Compute in float32 what the model computes in another float type; inputs and outputs of half precision keep their types.

    Those of double precision become single: the interface gives them theirs back in the end.
    """
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Parameter"]
    if not any(
        port.get_element_type() in OTHER_FLOATS for node in [*nodes, *model.get_parameters()] for port in node.outputs()
    ):
        return
    types = [port.get_element_type() for port in model.outputs]
    for parameter in model.get_parameters():
        if parameter.get_element_type() == ov.Type.f64:
            parameter.set_element_type(ov.Type.f32)
        elif parameter.get_element_type() in OTHER_FLOATS:
            _convert(parameter.output(0), ov.Type.f32, list(parameter.output(0).get_target_inputs()))
    for node in nodes:
        _retype(node)
    for result, kind in zip(model.get_results(), types, strict=True):
        if kind in OTHER_FLOATS - {ov.Type.f64}:
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
