"""What OpenVINO's CPU plugin computes wrongly in quantised models: written so that it computes it rightly, or named.

The faults are of OpenVINO 2026.2 to 2026.4 on processors with AVX-512. Neither rewriting changes what the model means.
"""

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from workers.ir.graph.layers import RECURRENT

REDUCTIONS = {
    "ReduceMean": ops.reduce_mean,
    "ReduceSum": ops.reduce_sum,
    "ReduceMax": ops.reduce_max,
    "ReduceMin": ops.reduce_min,
}


def squeeze_after_reducing(model: ov.Model) -> None:
    """Let a Squeeze remove the axes of a reduction, in place; for a model that is about to be quantised.

    Where a reduction that removes an axis is followed by factors of channels and a quantiser, as a mean over tokens before
    a head is, all samples of a batch but the first come out wrong.
    """
    for node in model.get_ordered_ops():
        reduction = REDUCTIONS.get(node.get_type_name())
        if reduction is None or not node.get_element_type().is_real() or node.get_attributes()["keep_dims"]:
            continue
        kept = reduction(node.input_value(0), node.input_value(1), True, name=node.friendly_name)
        squeezed = ops.squeeze(kept, node.input_value(1), name=f"{node.friendly_name}/squeeze").output(0)
        squeezed.set_names(node.output(0).get_names())
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(squeezed)
    model.validate_nodes_and_infer_types()


def vary_biases(model: ov.Model) -> None:
    """Let no bias of a matrix product be one number for all outputs, by the least that a float can differ, in place.

    With fixed shapes and few samples, products with such a bias or none, one after the other, come out as garbage.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Add" or node.input_value(0).get_node().get_type_name() != "MatMul":
            continue
        old = node.input_value(1).get_node()
        if old.get_type_name() != "Constant" or old.get_element_type() != ov.Type.f32:
            continue
        values = np.array(old.get_data())
        if values.size > 1 and (values == values.flat[0]).all():
            values.flat[0] = np.nextafter(values.flat[0], np.float32(np.inf)) if values.flat[0] else np.finfo(np.float32).tiny
            node.input(1).replace_source_output(ops.constant(values, name=old.friendly_name).output(0))


def select_by_flags(model: ov.Model) -> None:
    """Make numbers of truth values by selecting them, in place: a quantiser after a conversion keeps the model from running."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convert" or node.get_input_element_type(0) != ov.Type.boolean:
            continue
        if node.get_output_element_type(0) != ov.Type.f32:
            continue
        selected = ops.select(node.input_value(0), np.float32(1), np.float32(0), name=node.friendly_name).output(0)
        selected.set_names(node.output(0).get_names())
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(selected)
    model.validate_nodes_and_infer_types()


def doubtful_operations(model: ov.Model) -> list[str]:
    """Recurrent cells: with quantised inputs some do not run, and some come out as garbage. Whoever quantises must try."""
    return [str(node.friendly_name) for node in model.get_ordered_ops() if node.get_type_name() in RECURRENT]


def masking_operations(model: ov.Model) -> list[str]:
    """What adds to the scores that a Softmax makes shares of, such as a mask.

    A mask that hides nothing in the samples would be quantised to nothing, and hide nothing ever after.
    """
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Softmax":
            continue
        source = node.input_value(0).get_node()
        while source.get_type_name() in ("Reshape", "Squeeze", "Unsqueeze", "Transpose"):
            source = source.input_value(0).get_node()
        operands = [value.get_node().get_type_name() for value in source.input_values()]
        if source.get_type_name() in ("Add", "Subtract") and "Constant" not in operands:  # a constant is a bias
            found.append(str(source.friendly_name))
    return found
