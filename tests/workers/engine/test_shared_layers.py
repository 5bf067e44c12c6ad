"""A network is compressed to the same bytes by any number of threads."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.workers.engine.test_sequential import compress
from tests.workers.ir.tiny import named
from tests.workers.test_threads import ROUNDS_ALIKE, assert_rounded_alike
from workers.engine.gram import Gram
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import find_layers
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.threads import Threads


class Inputs:
    """Random samples of a shape."""

    def __init__(self, *shape: int) -> None:
        self.count = 24
        self.values = np.random.default_rng(0).normal(size=(self.count, *shape)).astype(np.float32)

    def batch(self, start: int, stop: int) -> dict[str, Any]:
        return {"x": self.values[start:stop]}


def constant(rng: np.random.Generator, *shape: int) -> ov.Node:
    return ops.constant((rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))


def convolutions() -> tuple[ov.Model, Inputs]:
    """Of 576, 512 and 1,600 columns, the last of which are too many for inverses."""
    rng, x = np.random.default_rng(1), ops.parameter([1, 64, 7, 7], name="x")
    value = x
    for number, (inputs, channels, side) in enumerate([(64, 512, 3), (512, 64, 1), (64, 128, 5)]):
        pads = [side // 2] * 2
        weight = constant(rng, channels, inputs, side, side)
        value = ops.relu(ops.convolution(value, weight, [1, 1], pads, pads, [1, 1], name=f"layer{number}"))
    return named(ov.Model([ops.result(value)], [x])), Inputs(64, 7, 7)


def transformer() -> tuple[ov.Model, Inputs]:
    """A block of attention and its two products, 320 wide."""
    rng, width = np.random.default_rng(2), 320
    x = ops.parameter([1, 16, width], name="x")
    query, key, value = (ops.matmul(x, constant(rng, width, width), False, True, name=name) for name in "qkv")
    scores = ops.softmax(ops.multiply(ops.matmul(query, key, False, True), ops.constant(np.float32(width**-0.5))), 2)
    mixed = ops.add(ops.matmul(ops.matmul(scores, value, False, False), constant(rng, width, width), False, True), x)
    hidden = ops.gelu(ops.matmul(mixed, constant(rng, 4 * width, width), False, True), "erf")
    added = ops.add(ops.matmul(hidden, constant(rng, width, 4 * width), False, True), mixed)
    return named(ov.Model([ops.result(added)], [x])), Inputs(16, width)


def assert_alike(one: LayerResult, other: LayerResult) -> None:
    if not ROUNDS_ALIKE:  # what is rounded otherwise takes other masks
        assert other.relative_error == pytest.approx(one.relative_error, rel=0.02)
        return
    np.testing.assert_array_equal(other.weight, one.weight)
    for node, bias in one.biases.items():
        np.testing.assert_array_equal(other.biases[node], bias)


@pytest.mark.parametrize("network", [convolutions, transformer])
def test_any_number_of_threads_gives_the_same_bytes(network: Any) -> None:
    found = []
    for threads in (1, 2, 4):
        model, inputs = network()
        model.inputs[0].set_names({"x"})
        plan = [(layer, (LayerwisePruning(sparsity_level=0.5),)) for layer in find_layers(model)[0]]
        found.append(compress(model, plan, inputs, EngineOptions(8, 0, threads)))
    for results in found[1:]:
        for one, other in zip(found[0], results, strict=True):
            assert_alike(one, other)


@pytest.mark.parametrize("count", [300, 1001])
def test_a_triangle_that_threads_share_is_that_of_one(count: int) -> None:
    rows = np.random.default_rng(0).normal(size=(1, count, 1153)).astype(np.float32)
    sums = []
    for threads in (1, 2, 3, 7):
        gram = Gram(1, rows.shape[2], Threads(threads))
        gram.add(rows)
        sums.append(gram.whole())
    np.testing.assert_allclose(sums[0][0], rows[0].T.astype(np.float64) @ rows[0], atol=1e-2)
    for other in sums[1:]:
        assert_rounded_alike(other, sums[0])
