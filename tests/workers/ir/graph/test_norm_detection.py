from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from workers.ir.graph.norm_detection import normalises


def model(normalise: Callable[..., Any]) -> ov.Model:
    x = ops.parameter([2, 6])
    return ov.Model([ops.result(normalise(x))], [x])


def layer_norm(x: Any) -> Any:
    centred = ops.subtract(x, ops.reduce_mean(x, ops.constant([1]), True))
    variance = ops.reduce_mean(ops.multiply(centred, centred), ops.constant([1]), True)
    return ops.divide(centred, ops.sqrt(ops.add(variance, np.float32(1e-5))))


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        (layer_norm, True),
        (lambda x: ops.mvn(x, ops.constant([1]), True, 1e-5, "INSIDE_SQRT"), True),
        (lambda x: ops.divide(x, ops.broadcast(ops.sqrt(ops.abs(x)), ops.constant([2, 6]))), True),
        (lambda x: ops.sqrt(ops.multiply(x, x)), False),  # a magnitude
        (lambda x: ops.divide(x, np.float32(2)), False),
        (ops.relu, False),
    ],
)
def test_models_that_normalise_as_they_run_are_told_from_those_that_do_not(
    normalise: Callable[..., Any], expected: bool
) -> None:
    assert normalises(model(normalise)) is expected
