"""What need not be computed at run time: constants that NNCF keeps from being folded, and tensors without elements."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino.passes import ConstantFolding, Manager

UNFOLDABLE = "DisableConstantFolding_0"  # NNCF marks the weights it quantises; the mark does not survive saving


def folded(model: ov.Model) -> ov.Model:
    """A copy of a model in which every weight is one constant, decoded as it will be when the model is loaded."""
    copy = model.clone()
    for node in copy.get_ops():
        marks = node.get_rt_info()
        if UNFOLDABLE in list(marks):
            del marks[UNFOLDABLE]
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(copy)
    return copy


def fold_empty(model: ov.Model) -> None:
    """Put constants in the place of tensors that are known to be empty, in place: OpenVINO crashes where one is an output."""
    for node in model.get_ordered_ops():
        for port in node.outputs() if node.get_type_name() != "Constant" else ():
            shape, users = port.get_partial_shape(), list(port.get_target_inputs())
            if users and shape.is_static and 0 in shape.to_shape():
                empty = ops.constant(np.zeros(shape.to_shape(), port.get_element_type().to_dtype()))
                for user in users:
                    user.replace_source_output(empty.output(0))
