"""Constants that NNCF keeps from being computed in advance."""

import openvino as ov
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
