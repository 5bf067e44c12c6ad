"""What the decoder of a constant comes to, folded by OpenVINO as it is when a model is loaded."""

from typing import Any

import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan


def folded(plan: StoragePlan) -> NDArray[Any]:
    """The tensor that a plan stores."""
    model = ov.Model([ops.result(plan.build(Graph("w", {})))], [])
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    node = model.get_results()[0].input_value(0).get_node()
    assert node.get_type_name() == "Constant"
    return node.data.copy()
