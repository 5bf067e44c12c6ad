"""The matrix form of every kind of layer, against OpenVINO computing the layer itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ir.graph.edit import find_bias, read_weight, write_weight
from workers.ir.graph.layers import find_layers, nodes_by_name


def constant(rng: np.random.Generator, *shape: Any) -> Any:
    return ops.constant(rng.normal(size=shape).astype(np.float32))


def assert_matrix_form(node: Any, parameter: Any, value: npt.NDArray[Any]) -> None:
    """Rows of the input times the matrix are the rows of the output, and the matrix writes back unchanged."""
    model = ov.Model([ops.result(node)], [parameter])
    (layer,), skipped = find_layers(model)
    assert not skipped
    config = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
    output = ov.Core().compile_model(model, "CPU", config)(value)[0]
    index = np.arange(layer.geometry.positions(output.shape))
    weight = read_weight(model, layer)
    rows = layer.geometry.input_rows(value, index)
    some = index[: index.size // 2 : 3]  # of the first samples alone
    np.testing.assert_array_equal(layer.geometry.input_rows(value, some), rows[:, some])
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(value, 1, -1)), -1, 1)  # the same tensor, its channels last in memory
    np.testing.assert_array_equal(layer.geometry.input_rows(last, some), rows[:, some])
    np.testing.assert_allclose(rows @ weight.swapaxes(1, 2), layer.geometry.output_rows(output, index), rtol=2e-3, atol=2e-4)
    before = nodes_by_name(model)[layer.name].input_value(layer.port).get_node().get_data().copy()
    write_weight(model, layer, weight)
    np.testing.assert_array_equal(nodes_by_name(model)[layer.name].input_value(layer.port).get_node().get_data(), before)
    assert weight.size == layer.size
    assert weight.shape[0] * weight.shape[1] == layer.channels
    assert weight.shape[2] == layer.cols


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_convolution(groups: Any, kernel: Any, strides: Any, dilations: Any, pads: Any) -> None:
    rng = np.random.default_rng(0)
    parameter = ops.parameter([2, 4, 9, 8])
    arguments = (list(strides), list(pads[:2]), list(pads[2:]), list(dilations))
    if groups == 1:
        node = ops.convolution(parameter, constant(rng, 3, 4, *kernel), *arguments)
    else:
        node = ops.group_convolution(parameter, constant(rng, groups, 2, 4 // groups, *kernel), *arguments)
    assert_matrix_form(node, parameter, rng.normal(size=(2, 4, 9, 8)).astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(
    grouped=st.booleans(),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pad=st.integers(0, 1),
    extra=st.integers(0, 1),
)
def test_transposed_convolution(grouped: Any, kernel: Any, stride: Any, dilation: Any, pad: Any, extra: Any) -> None:
    rng = np.random.default_rng(0)
    pad, extra = min(pad, (kernel - 1) * dilation), min(extra, stride - 1)
    parameter = ops.parameter([2, 4, 6, 5])
    arguments = {
        "strides": [stride] * 2,
        "pads_begin": [pad] * 2,
        "pads_end": [pad] * 2,
        "dilations": [dilation] * 2,
        "output_padding": [extra] * 2,
    }
    if grouped:
        node = ops.group_convolution_backprop_data(parameter, constant(rng, 2, 2, 3, kernel, kernel), **arguments)
    else:
        node = ops.convolution_backprop_data(parameter, constant(rng, 4, 3, kernel, kernel), **arguments)
    assert_matrix_form(node, parameter, rng.normal(size=(2, 4, 6, 5)).astype(np.float32))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_matmul_with_weight_on_the_right(shape: tuple[int, ...], transpose: bool) -> None:
    rng = np.random.default_rng(0)
    parameter = ops.parameter(list(shape))
    weight = constant(rng, 7, 6) if transpose else constant(rng, 6, 7)
    assert_matrix_form(ops.matmul(parameter, weight, False, transpose), parameter, rng.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("transpose", [False, True])
def test_matmul_with_weight_on_the_left(transpose: bool) -> None:
    rng = np.random.default_rng(0)
    parameter = ops.parameter([2, 6, 5])
    weight = constant(rng, 6, 7) if transpose else constant(rng, 7, 6)
    assert_matrix_form(
        ops.matmul(weight, parameter, transpose, False), parameter, rng.normal(size=(2, 6, 5)).astype(np.float32)
    )


def test_one_dimensional_convolution() -> None:
    rng = np.random.default_rng(0)
    parameter = ops.parameter([2, 3, 20])
    node = ops.convolution(parameter, constant(rng, 5, 3, 4), [2], [1], [2], [1])
    assert_matrix_form(node, parameter, rng.normal(size=(2, 3, 20)).astype(np.float32))


def test_shared_weight_is_one_layer() -> None:
    rng = np.random.default_rng(0)
    left, right, weight = ops.parameter([1, 6]), ops.parameter([1, 6]), constant(rng, 6, 4)
    both = ops.add(ops.matmul(left, weight, False, False), ops.matmul(right, weight, False, False))
    (layer,), _ = find_layers(ov.Model([ops.result(both)], [left, right]))
    assert len(layer.nodes) == 2


def test_what_cannot_be_compressed_is_named_with_its_reason() -> None:
    rng = np.random.default_rng(0)
    tokens = ops.parameter([1, 4], np.int32)
    table = ops.gather(constant(rng, 9, 6), tokens, ops.constant(0))
    stacked = ops.matmul(ops.unsqueeze(table, ops.constant([1])), constant(rng, 1, 2, 6, 3), False, False)
    layers, skipped = find_layers(ov.Model([ops.result(stacked)], [tokens]))
    assert layers == []
    assert [(entry.type, entry.reason) for entry in skipped] == [
        ("Gather", "an embedding table is looked up, not multiplied"),
        ("MatMul", "the constant is a stack of matrices"),
    ]


def test_bias_is_the_added_constant_per_output_channel() -> None:
    rng = np.random.default_rng(0)
    parameter = ops.parameter([1, 3, 8, 8])
    conv = ops.convolution(parameter, constant(rng, 4, 3, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
    added = ops.add(conv, constant(rng, 1, 4, 1, 1))
    bias = find_bias(conv, 4)
    assert bias is not None
    assert (bias.add, bias.shape) == (added.friendly_name, (1, 4, 1, 1))
