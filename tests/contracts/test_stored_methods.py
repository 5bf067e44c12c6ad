"""What every method answers is stored in as few bits as its codebook has, and comes back to the bit."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.workers.methods.problems import problem
from workers.ir.storage import Graph, encode, entropy_bits
from workers.methods import METHODS
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.methods.slq import Slq
from workers.methods.uniform import Uniform

SHAPES = {"wide": (1, 192, 160), "depthwise": (256, 1, 9), "grouped": (2, 8, 36)}
STORED = [  # a method, what its form ends with (powers of two may share one table), and bits of a code
    (Uniform(bits=4), "x step", 4),
    (Mcq(rounding="calibrated"), "x step", 5),
    (Mcq(samples_per_weight=4), "x step", 8),
    (Slq(bits=4), "x step", 3.2),
    (Slq(bits=3), "x step", 2.67),
    (Inq(bits=5), "", 5.34),
    (Inq(bits=3), "", 2.67),
    (Inq(bits=5, powers=2), "", 5.34),
    (Mlq(), "x two values", 1.6),
    (Ec2t(), "x two values", 1.6),
]


def test_every_method_with_a_codebook_is_stored() -> None:
    free = {method for method in METHODS if issubclass(method, Method) and method.family == "masked"}
    assert {type(method) for method, _, _ in STORED} | free == {method for method in METHODS if issubclass(method, Method)}


@pytest.mark.parametrize(("method", "form", "bits"), STORED, ids=lambda value: str(value) if isinstance(value, float) else None)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_codes_are_stored_and_not_weights(method: Method, form: str, bits: float, shape: tuple[int, ...]) -> None:
    """Rows of very different size, as folding BatchNorm leaves them."""
    posed = problem(shape=shape).in_units_of(np.geomspace(0.02, 50, shape[0] * shape[1]).reshape(*shape[:2], 1))
    solution = method.solve(posed, np.random.default_rng(0))
    weight = solution.weight.astype(np.float32)
    scale = None if solution.scale is None else np.broadcast_to(solution.scale, shape)
    stored = encode(weight, Graph("w", {}), step=scale)
    decoded = ov.Core().compile_model(ov.Model([ops.result(stored.output)], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        []
    )[0]
    np.testing.assert_array_equal(decoded, weight)
    if weight.size > 4096:  # smaller ones have no room for the operations
        assert stored.scheme.endswith(form)
        beside = 8 * (100 + 8 * shape[0] * shape[1])
        assert 8 * stored.bytes <= bits * weight.size * 1.01 + beside
    assert entropy_bits(weight, step=scale) <= 8 * stored.bytes / weight.size
