"""A larger network computes what the smaller one did."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.engine.test_sequential import Images, outputs, residual_network
from tests.workers.ir.tiny import named
from workers.errors import NotExtensible
from workers.ir.channels.net2net import MULTIPLE, deepen, widen
from workers.ir.graph.layers import find_layers

RNG = np.random.default_rng(0)


def conv(x: Any, inputs: int, outputs_: int, size: int = 1, name: str = "") -> Any:
    kernel = ops.constant(RNG.normal(0, 0.4, (outputs_, inputs, size, size)).astype(np.float32))
    node = ops.convolution(x, kernel, [1, 1], [size // 2] * 2, [size // 2] * 2, [1, 1], name=name)
    return ops.add(node, ops.constant(RNG.normal(0, 0.1, (1, outputs_, 1, 1)).astype(np.float32)))


def network(kind: str, width: int) -> ov.Model:
    """Networks in which channels meet in every way that can be followed."""
    x = ops.parameter([1, 3, 10, 10], name="x")
    x.output(0).set_names({"x"})
    stem = ops.relu(conv(x, 3, width, 3, "stem"))
    if kind == "residual":
        body = ops.relu(ops.add(conv(ops.relu(conv(stem, width, width, 3, "a")), width, width, 3, "b"), stem))
        joined = body
    elif kind == "fire":
        sides = [ops.relu(conv(stem, width, width // 2, size, f"side{size}")) for size in (1, 3)]
        joined = ops.concat(sides, 1)
        width = 2 * (width // 2)
    elif kind == "depthwise":
        kernel = ops.constant(RNG.normal(0, 0.4, (width, 1, 1, 3, 3)).astype(np.float32))
        joined = ops.clamp(ops.group_convolution(stem, kernel, [1, 1], [1, 1], [1, 1], [1, 1], name="depthwise"), 0, 6)
    elif kind == "gate":
        squeezed = ops.reduce_mean(stem, ops.constant([2, 3]), True)
        gate = ops.sigmoid(conv(ops.relu(conv(squeezed, width, 4, name="down")), 4, width, name="up"))
        joined = ops.multiply(stem, gate)
    else:  # channels that are several entries in a row once they are flattened
        joined = ops.max_pool(stem, [5, 5], [1, 1], [0, 0], [0, 0], [5, 5]).output(0)
        flat = ops.reshape(joined, ops.constant([0, -1]), True)
        head = ops.matmul(flat, ops.constant(RNG.normal(size=(4 * width, 5)).astype(np.float32)), False, False, name="head")
        return finished(head, x)
    pooled = ops.reduce_mean(joined, ops.constant([2, 3]), False)
    head = ops.matmul(pooled, ops.constant(RNG.normal(size=(width, 5)).astype(np.float32)), False, False, name="head")
    return finished(head, x)


def finished(head: Any, x: Any) -> ov.Model:
    model = ov.Model([ops.result(head)], [x])
    return named(model)


def channels(model: ov.Model) -> dict[str, int]:
    return {layer.name: layer.channels for layer in find_layers(model)[0]}


@given(
    st.sampled_from(["residual", "fire", "depthwise", "gate", "flattened"]),
    st.integers(4, 20),
    st.floats(1.01, 3.5),
    st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_a_wider_network_computes_the_same(kind: Any, width: Any, factor: Any, seed: int) -> None:
    model, samples = network(kind, width), Images(4)
    before, sizes = outputs(model, samples), channels(model)
    added = widen(model, find_layers(model)[0], factor, np.random.default_rng(seed))
    after = outputs(model, samples)
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())
    larger = channels(model)
    assert larger["stem"] >= factor * sizes["stem"]
    assert larger["stem"] % MULTIPLE == 0
    assert added == sum(larger.values()) - sum(sizes.values())
    assert larger["head"] == sizes["head"]


@pytest.mark.parametrize("kind", ["residual", "fire", "depthwise", "gate"])
def test_a_deeper_network_computes_the_same(kind: str) -> None:
    model, samples = network(kind, 8), Images(4)
    before, layers = outputs(model, samples), find_layers(model)[0]
    assert deepen(model, layers, 1.6) == int(np.ceil(0.6 * len(layers)))
    assert len(find_layers(model)[0]) == len(layers) + int(np.ceil(0.6 * len(layers)))
    np.testing.assert_allclose(outputs(model, samples), before, rtol=0, atol=2e-5 * np.abs(before).max())


def test_halves_do_not_stay_alike() -> None:
    model = network("residual", 8)
    widen(model, find_layers(model)[0], 2, np.random.default_rng(0))
    nodes = {node.friendly_name: node for node in model.get_ops()}
    reader = nodes["b"].input_value(1).get_node().data
    columns = reader.transpose(1, 0, 2, 3).reshape(reader.shape[1], -1)
    assert len(np.unique(columns.round(6), axis=0)) == len(columns)


def test_the_seed_chooses_the_channels() -> None:
    def kernels(seed: int) -> Any:
        model = residual_network()
        widen(model, find_layers(model)[0], 1.4, np.random.default_rng(seed))
        nodes = {node.friendly_name: node for node in model.get_ops()}
        return nodes["first"].input_value(1).get_node().data.copy()

    np.testing.assert_array_equal(kernels(3), kernels(3))
    assert (kernels(3) != kernels(4)).any()


def test_a_model_in_which_no_channel_can_be_split_is_refused_with_the_reason() -> None:
    x = ops.parameter([1, 3, 10, 10], name="x")
    model = finished(conv(x, 3, 8, 3, "only"), x)
    with pytest.raises(NotExtensible, match="output of the model"):
        widen(model, find_layers(model)[0], 2, np.random.default_rng(0))
    with pytest.raises(NotExtensible, match="Relu"):
        deepen(model, find_layers(model)[0], 2)
