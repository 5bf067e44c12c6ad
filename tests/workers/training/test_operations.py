"""Every operation that training knows, against OpenVINO on the same inputs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch
from torch.nn import functional as F

from workers.errors import NotTrainable
from workers.training.network import Network, verify
from workers.training.operations import OPERATIONS

RNG = np.random.default_rng(0)


def i64(*values: Any) -> Any:
    return ops.constant(np.array(values, np.int64))


def kernel(*shape: Any) -> Any:
    return ops.constant(RNG.normal(size=shape).astype(np.float32))


def elementwise(make: Any, shape: Any = (2, 3, 4)) -> Any:
    return shape, make


IMAGE, MATRIX = (2, 4, 6, 5), (2, 3, 4)
ONE, TWO = [1, 1], [2, 2]

CASES = {
    "Add": (IMAGE, lambda x: ops.add(x, kernel(1, 4, 1, 1))),
    "Subtract": (IMAGE, lambda x: ops.subtract(kernel(5), x)),
    "Multiply": (IMAGE, lambda x: ops.multiply(x, x)),
    "Divide": (IMAGE, lambda x: ops.divide(x, ops.constant(np.float32(3)))),
    "Maximum": (IMAGE, lambda x: ops.maximum(x, kernel(5))),
    "Minimum": (IMAGE, lambda x: ops.minimum(x, kernel(5))),
    "Power": (IMAGE, lambda x: ops.power(ops.absolute(x), ops.constant(np.float32(1.5)))),
    "SquaredDifference": (IMAGE, lambda x: ops.squared_difference(x, kernel(5))),
    "Sqrt": (IMAGE, lambda x: ops.sqrt(ops.absolute(x))),
    "Exp": (IMAGE, ops.exp),
    "Log": (IMAGE, lambda x: ops.log(ops.add(ops.absolute(x), ops.constant(np.float32(0.5))))),
    "Abs": (IMAGE, ops.absolute),
    "Negative": (IMAGE, ops.negative),
    "Erf": (IMAGE, ops.erf),
    "Equal": (IMAGE, lambda x: ops.equal(x, ops.relu(x))),
    "Greater": (IMAGE, lambda x: ops.greater(x, kernel(5))),
    "Less": (IMAGE, lambda x: ops.less(x, kernel(5))),
    "Select": (IMAGE, lambda x: ops.select(ops.greater(x, kernel(5)), x, kernel(5))),
    "Convert": (IMAGE, lambda x: ops.convert(ops.multiply(x, ops.constant(np.float32(9))), "i32")),
    "Relu": (IMAGE, ops.relu),
    "PRelu": (IMAGE, lambda x: ops.prelu(x, kernel(4))),
    "Sigmoid": (IMAGE, ops.sigmoid),
    "Tanh": (IMAGE, ops.tanh),
    "Gelu": (IMAGE, lambda x: ops.gelu(x, "tanh")),
    "Swish": (IMAGE, lambda x: ops.swish(x, ops.constant(np.float32(1.3)))),
    "HSwish": (IMAGE, ops.hswish),
    "HSigmoid": (IMAGE, ops.hsigmoid),
    "Mish": (IMAGE, ops.mish),
    "SoftPlus": (IMAGE, ops.softplus),
    "Elu": (IMAGE, lambda x: ops.elu(x, 0.7)),
    "Clamp": (IMAGE, lambda x: ops.clamp(x, -0.3, 0.8)),
    "Softmax": (MATRIX, lambda x: ops.softmax(x, 1)),
    "LogSoftmax": (MATRIX, lambda x: ops.log_softmax(x, 2)),
    "Convolution": (IMAGE, lambda x: ops.convolution(x, kernel(3, 4, 3, 2), [2, 1], [1, 0], [2, 1], [1, 2])),
    "GroupConvolution": (IMAGE, lambda x: ops.group_convolution(x, kernel(2, 3, 2, 3, 3), ONE, ONE, ONE, ONE)),
    "ConvolutionBackpropData": (
        IMAGE,
        lambda x: ops.convolution_backprop_data(
            x, kernel(4, 3, 3, 3), TWO, pads_begin=[1, 0], pads_end=[0, 1], output_padding=[1, 0]
        ),
    ),
    "GroupConvolutionBackpropData": (
        IMAGE,
        lambda x: ops.group_convolution_backprop_data(x, kernel(2, 2, 3, 3, 3), TWO, pads_begin=ONE, pads_end=ONE),
    ),
    "MatMul": (MATRIX, lambda x: ops.matmul(x, kernel(5, 4), False, True)),
    "MaxPool": (IMAGE, lambda x: ops.max_pool(x, TWO, ONE, [1, 0], [0, 1], [3, 2], "ceil").output(0)),
    "AvgPool": (IMAGE, lambda x: ops.avg_pool(x, TWO, [1, 0], [0, 1], [3, 2], True)),
    "ReduceMean": (IMAGE, lambda x: ops.reduce_mean(x, i64(2, -1), True)),
    "ReduceSum": (IMAGE, lambda x: ops.reduce_sum(x, i64(1), False)),
    "ReduceMax": (IMAGE, lambda x: ops.reduce_max(x, i64(1, 2), False)),
    "ReduceMin": (IMAGE, lambda x: ops.reduce_min(x, i64(0), True)),
    "ReduceProd": (IMAGE, lambda x: ops.reduce_prod(x, i64(1, -1), False)),
    "ReduceL2": (IMAGE, lambda x: ops.reduce_l2(x, i64(1), True)),
    "Reshape": (IMAGE, lambda x: ops.reshape(x, i64(0, -1, 5), True)),
    "Squeeze": ((2, 1, 4, 1), lambda x: ops.squeeze(x, i64(1))),
    "Unsqueeze": (MATRIX, lambda x: ops.unsqueeze(x, i64(0, -1))),
    "Transpose": (IMAGE, lambda x: ops.transpose(x, i64(0, 2, 3, 1))),
    "Concat": (IMAGE, lambda x: ops.concat([x, ops.relu(x)], -2)),
    "Split": (IMAGE, lambda x: ops.split(x, ops.constant(np.int64(1)), 2).output(1)),
    "VariadicSplit": (IMAGE, lambda x: ops.variadic_split(x, ops.constant(np.int64(1)), i64(1, -1)).output(1)),
    "Slice": (IMAGE, lambda x: ops.slice(x, i64(-1, 1), i64(-100, 9), i64(-2, 2), i64(3, 2))),
    "StridedSlice": (
        IMAGE,
        lambda x: ops.strided_slice(
            x, i64(0, 1, 0, 1), i64(9, 3, 4, 9), i64(1, 1, 2, 1), [0] * 4, [1, 0, 0, 1], [], [0, 1, 0, 0]
        ),
    ),
    "Gather": (IMAGE, lambda x: ops.gather(x, ops.constant(np.array([[0, -1], [2, 1]])), i64(1))),
    "Broadcast": ((2, 1, 4), lambda x: ops.broadcast(x, i64(3, 2, 5, 4), broadcast_spec="BIDIRECTIONAL")),
    "Tile": (MATRIX, lambda x: ops.tile(x, i64(1, 2, 3))),
    "Pad": (IMAGE, lambda x: ops.pad(x, i64(0, 0, 1, 2), i64(0, 0, 2, 1), "reflect")),
    "ShapeOf": (IMAGE, lambda x: ops.shape_of(x)),
    "ShuffleChannels": (IMAGE, lambda x: ops.shuffle_channels(x, 1, 2)),
    "DepthToSpace": (IMAGE, lambda x: ops.depth_to_space(x, "depth_first", 2)),
    "Interpolate": (
        IMAGE,
        lambda x: ops.interpolate(x, i64(12, 10), "linear_onnx", "sizes", [0], [0], "half_pixel", axes=i64(2, 3)),
    ),
    "MVN": (MATRIX, lambda x: ops.mvn(x, i64(1, 2), True, 1e-5, "inside_sqrt")),
    "NormalizeL2": (IMAGE, lambda x: ops.normalize_l2(x, i64(1), 1e-6, "add")),
    "ScaledDotProductAttention": (
        (2, 3, 5, 4),
        lambda x: ops.scaled_dot_product_attention(x, ops.relu(x), ops.negative(x), causal=True),
    ),
}


def built(shape: tuple[int, ...], make: Callable[..., Any]) -> ov.Model:
    x = ops.parameter(list(shape), name="x")
    x.output(0).set_names({"x"})
    return ov.Model([ops.result(make(x))], [x])


def values(shape: tuple[int, ...]) -> dict[str, npt.NDArray[Any]]:
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


def test_every_operation_has_a_case() -> None:
    assert CASES.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("kind", CASES)
def test_an_operation_gives_what_openvino_gives(kind: str) -> None:
    shape, make = CASES[kind]
    model = built(shape, make)
    network = Network(model)
    assert kind in {call.type for call in network.calls}
    assert verify(model, network, values(shape), threads=1) < 1e-4


MORE = {
    "a transposed convolution of one axis": ((2, 4, 6), lambda x: ops.convolution_backprop_data(x, kernel(4, 3, 3), [2])),
    "a convolution of three axes": (
        (1, 2, 4, 4, 4),
        lambda x: ops.convolution(x, kernel(3, 2, 2, 2, 2), [1] * 3, [0] * 3, [0] * 3, [1] * 3),
    ),
    "pooling that counts the padding": (IMAGE, lambda x: ops.avg_pool(x, TWO, ONE, ONE, [3, 3], False)),
    "depth to space, blocks first": (IMAGE, lambda x: ops.depth_to_space(x, "blocks_first", 2)),
    "constant padding": (
        IMAGE,
        lambda x: ops.pad(x, i64(0, 1, 0, 0), i64(0, 0, 2, 1), "constant", ops.constant(np.float32(2))),
    ),
    "a mean that is not inside the root": (MATRIX, lambda x: ops.mvn(x, i64(2), True, 1e-3, "outside_sqrt")),
    "exact Gelu": (MATRIX, lambda x: ops.gelu(x, "erf")),
    "nearest neighbours by scale": (
        IMAGE,
        lambda x: ops.interpolate(
            x,
            ops.constant(np.array([2, 2], np.float32)),
            "nearest",
            "scales",
            [0],
            [0],
            "asymmetric",
            nearest_mode="floor",
            axes=i64(2, 3),
        ),
    ),
}


@pytest.mark.parametrize("form", MORE)
def test_other_forms_of_an_operation(form: str) -> None:
    shape, make = MORE[form]
    model = built(shape, make)
    assert verify(model, Network(model), values(shape), threads=1) < 1e-4


def test_gradients_of_a_wide_depthwise_convolution_are_those_of_torch() -> None:
    rng = torch.Generator().manual_seed(0)
    attributes = {"strides": [1, 1], "dilations": [1, 1], "pads_begin": [2, 2], "pads_end": [2, 2]}
    for height, width in ((9, 7), (3, 4)):
        value = torch.randn(3, 6, height, width, generator=rng, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(6, 1, 1, 5, 5, generator=rng, dtype=torch.float64, requires_grad=True)
        found = OPERATIONS["GroupConvolution"](attributes, value, weight)
        assert "WideDepthwise" in str(found.grad_fn)
        expected = F.conv2d(value, weight[:, 0], padding=2, groups=6)
        torch.testing.assert_close(found, expected)
        grads = [torch.autograd.grad(output.sin().sum(), (value, weight)) for output in (found, expected)]
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other)


def test_an_unknown_operation_is_refused_by_name() -> None:
    with pytest.raises(NotTrainable, match="CumSum"):
        Network(built(MATRIX, lambda x: ops.cum_sum(x, i64(1))))


def test_a_form_that_torch_computes_otherwise_is_refused_by_name() -> None:
    model = built(
        IMAGE,
        lambda x: ops.interpolate(x, i64(9, 8), "cubic", "sizes", [0], [0], "half_pixel", axes=i64(2, 3)),
    )
    with pytest.raises(NotTrainable, match="Interpolate"):
        verify(model, Network(model), values(IMAGE), threads=1)


@pytest.mark.parametrize("most", [1, 2**12])
def test_a_large_model_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    pads = [1, 1]
    model = built(IMAGE, lambda x: ops.exp(ops.relu(ops.convolution(x, kernel(3, 4, 3, 3), pads, pads, pads, pads))))
    network = Network(model)
    whole = verify(model, network, values(IMAGE), threads=1)
    monkeypatch.setattr("workers.training.network.BYTES_AT_ONCE", most)
    assert verify(model, network, values(IMAGE), threads=1) == whole
    network.calls[1] = replace(network.calls[1], operation=lambda attributes, x: x)
    with pytest.raises(NotTrainable, match=network.calls[1].type):
        verify(model, network, values(IMAGE), threads=1)
