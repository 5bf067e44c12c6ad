"""A pass for tests."""

from typing import Any, ClassVar

import numpy as np
import openvino.opset13 as ops

from workers.methods.problem import Pass


class Doubling(Pass):
    """Multiplies the first output by `factor`, and says that this changes nothing."""

    exact: ClassVar[bool] = True
    method: str = "doubling"
    factor: float = 1.0


def rewrite(step: Any, state: Any, context: Any, progress: Any) -> Any:
    result = state.model.get_results()[0]
    product = ops.multiply(result.input_value(0), np.float32(step.factor))
    result.input(0).replace_source_output(product.output(0))
    state.model.validate_nodes_and_infer_types()
    progress(1, 1, message="doubled")
    return state
