"""Weights, biases and constants of small models: found, read, replaced; what the model computes is checked by running it."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from workers.ir.graph.constants import constants_of, is_decoded, merge_constants, run_time_constants
from workers.ir.graph.edit import bias_shape, ensure_bias, find_bias, read_bias, read_weight, write_bias, write_weight
from workers.ir.graph.layers import find_layers
from workers.ir.graph.probe import runner

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def constant(value: Any, name: str = "w") -> Any:
    return ops.constant(np.asarray(value), name=name)


def convolution(bias: Any = None, groups: int = 1) -> tuple[ov.Model, Any, Any]:
    """Two channels in, four out, 3 x 3; the model, the operation and its weight."""
    x = ops.parameter([1, 2, 5, 5], name="x")
    weight = floats(4, 2, 3, 3) if groups == 1 else floats(groups, 4 // groups, 2 // groups, 3, 3)
    make = ops.convolution if groups == 1 else ops.group_convolution
    node = make(x, constant(weight), [1, 1], [0, 0], [0, 0], [1, 1], name="conv")
    out = node if bias is None else ops.add(node, constant(bias, "b"), name="biased")
    last = ops.relu(out, name="relu")
    last.output(0).set_names({"answer"})
    return ov.Model([last], [x]), node, weight


def product(left: bool = False) -> tuple[ov.Model, Any]:
    x = ops.parameter([2, 3], name="x")
    node = (
        ops.matmul(constant(floats(4, 2)), x, False, False, name="product")
        if left
        else ops.matmul(x, constant(floats(4, 3)), False, True, name="product")
    )
    return ov.Model([node], [x]), node


# biases


@pytest.mark.parametrize(
    ("shape", "found"),
    [((1, 4, 1, 1), True), ((4, 1, 1), True), ((1, 4, 3, 3), False), ((1, 1, 1, 1), False), ((1, 1), False), ((1,), False)]
    + [((), False)],
)
def test_a_bias_is_one_number_for_every_channel(shape: tuple[int, ...], found: bool) -> None:
    model, node, _ = convolution(floats(*shape))
    bias = find_bias(node, 4)
    assert (bias is not None) == found
    if bias is not None:
        assert (bias.add, bias.shape, read_bias(model, bias).shape) == ("biased", shape, (4,))


def test_an_addition_that_others_pass_by_is_no_bias() -> None:
    x = ops.parameter([1, 2, 5, 5])
    node = ops.convolution(x, constant(floats(4, 2, 3, 3)), [1, 1], [0, 0], [0, 0], [1, 1])
    biased = ops.add(node, constant(floats(1, 4, 1, 1), "b"))
    model = ov.Model([biased, ops.relu(node)], [x])
    assert find_bias(node, 4) is None
    del model


@pytest.mark.parametrize(("left", "shape"), [(False, (1, 4)), (True, (4, 1))])
def test_the_bias_of_a_product_lies_along_its_channels(left: bool, shape: tuple[int, ...]) -> None:
    _, node = product(left)
    assert bias_shape(node, 4) == shape


@pytest.mark.parametrize(
    "make", [lambda: convolution(), lambda: convolution(floats(1, 4, 1, 1)), lambda: product(), lambda: product(True)]
)
def test_every_layer_gets_a_bias_and_computes_the_same(make: Any) -> None:
    model = make()[0]
    value = floats(*model.input(0).shape)
    names = [port.get_names() for port in model.outputs]
    before = runner(model)([value])
    layers, _ = find_layers(model)
    ((name, bias),) = ensure_bias(model, layers).items()
    assert name in ("conv", "product")
    for old, new in zip(before, runner(model)([value]), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [port.get_names() for port in model.outputs] == names
    vector = read_bias(model, bias)
    write_bias(model, bias, vector + [1, 2, 3, 4])
    np.testing.assert_allclose(read_bias(model, bias), vector + [1, 2, 3, 4], rtol=1e-6)
    assert ensure_bias(model, layers)[name] == bias  # it has one now


def test_a_written_bias_is_added_channel_by_channel() -> None:
    model, _, weight = convolution()
    layers, _ = find_layers(model)
    (bias,) = ensure_bias(model, layers).values()
    write_bias(model, bias, np.array([0.0, 10, 20, -1000]))
    (found,) = runner(model)([np.zeros((1, 2, 5, 5), np.float32)])
    np.testing.assert_array_equal(found[0, :, 0, 0], [0, 10, 20, 0])
    del weight


# weights


@pytest.mark.parametrize("groups", [1, 2])
def test_a_weight_is_a_matrix_of_groups_rows_and_columns(groups: int) -> None:
    model, _, weight = convolution(groups=groups)
    (layer,), _ = find_layers(model)
    matrix = read_weight(model, layer)
    assert matrix.shape == (groups, 4 // groups, 9 * 2 // groups)
    np.testing.assert_array_equal(matrix.reshape(-1), weight.reshape(-1))
    write_weight(model, layer, matrix * 2)
    np.testing.assert_array_equal(read_weight(model, layer), matrix * 2)
    value = floats(1, 2, 5, 5)
    original, _, _ = convolution(groups=groups)
    write_weight(original, layer, matrix)
    np.testing.assert_allclose(runner(model)([value])[0], 2 * runner(original)([value])[0], rtol=1e-5)


def test_models_keep_a_new_weight_where_it_lies_if_they_may() -> None:
    x = ops.parameter([1, 3], name="x")
    model = ov.Model([ops.result(ops.matmul(x, ops.constant(np.zeros((4, 3), np.float32)), False, True))], [x])
    (layer,), other = find_layers(model)[0], model.clone()
    mine, lent = (
        np.arange(12, dtype=np.float32).reshape(1, 4, 3),
        np.broadcast_to(np.float32(2), (1, 4, 3)),
    )  # nobody's to write
    for each in (model, other):
        write_weight(each, layer, mine)
        (constant,) = (node for node in each.get_ops() if node.get_type_name() == "Constant")
        assert np.shares_memory(constant.get_data(), mine)
    write_weight(other, layer, lent)
    np.testing.assert_array_equal(read_weight(other, layer), lent)
    np.testing.assert_array_equal(read_weight(model, layer), mine)


def test_operations_that_share_a_weight_get_the_same_new_one() -> None:
    x = ops.parameter([2, 3])
    shared = constant(floats(4, 3))
    nodes = [ops.matmul(side, shared, False, True, name=name) for side, name in ((x, "a"), (ops.relu(x), "b"))]
    model = ov.Model(nodes, [x])
    (layer,), _ = find_layers(model)
    write_weight(model, layer, np.ones((1, 4, 3)))
    first, second = runner(model)([np.ones((2, 3), np.float32)])
    np.testing.assert_array_equal(first, np.full((2, 4), 3))
    np.testing.assert_array_equal(second, first)


# constants


def test_the_constants_of_a_weight_are_it_and_its_scales() -> None:
    model, node = product()
    (layer,), _ = find_layers(model)
    codes = ops.constant(np.ones((4, 3), np.int8), name="codes")
    decoded = ops.multiply(ops.convert(codes, "f32"), constant(floats(4, 1), "scales"))
    node.input(1).replace_source_output(decoded.output(0))
    assert [node.friendly_name for node in constants_of(model, layer)] == ["codes", "scales"]
    assert run_time_constants(model) == {"codes", "scales"}


@pytest.mark.parametrize(
    ("kind", "chain", "decoded"),
    [
        ("i8", "convert multiply", True),
        ("u4", "convert multiply", True),
        ("f16", "convert", False),
        ("i8", "", False),
        ("f32", "multiply", False),
    ],
)
def test_codes_times_scales_are_decoded(kind: str, chain: str, decoded: bool) -> None:
    node = ops.constant(np.ones((4, 3), np.float32), dtype=getattr(ov.Type, kind))
    for step in chain.split():
        node = ops.convert(node, "f32") if step == "convert" else ops.multiply(node, constant(floats(4, 1)))
    assert is_decoded(node) == decoded


def test_behind_quantised_activations_nothing_is_decoded_as_the_model_runs() -> None:
    x = ops.parameter([1, 3])
    low, high = constant(np.float32(-1)), constant(np.float32(1))
    quantised = ops.fake_quantize(x, low, high, low, high, 256)
    weight = ops.multiply(ops.convert(ops.constant(np.ones((4, 3), np.int8)), "f32"), constant(floats(4, 1)))
    assert run_time_constants(ov.Model([ops.matmul(quantised, weight, False, True)], [x])) == set()


def test_equal_small_constants_become_one() -> None:
    x = ops.parameter([8])
    twins = [ops.add(x, constant(np.arange(8, dtype=np.float32), f"c{n}")) for n in range(3)]
    other = ops.add(x, constant(np.arange(8, dtype=np.float32) + 1, "other"))
    large = [ops.multiply(x, ops.reduce_sum(constant(np.ones((8, 8), np.float32), f"l{n}"), constant([0]))) for n in range(2)]
    model = ov.Model([*twins, other, *large], [x])
    value = floats(8)
    before = runner(model)([value])
    merge_constants(model)
    names = {node.friendly_name for node in model.get_ops() if node.get_type_name() == "Constant"}
    assert len(names & {"c0", "c1", "c2"}) == 1
    assert {"other", "l0", "l1"} <= names
    for old, new in zip(before, runner(model)([value]), strict=True):
        np.testing.assert_array_equal(old, new)
