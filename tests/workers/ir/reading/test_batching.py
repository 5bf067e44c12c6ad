"""A model for many samples at once has the same layers, read in the same way."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from tests.workers.ir.reading.test_equal_weights import products, weights
from tests.workers.ir.tiny import save
from workers.ir.graph.layers import find_layers
from workers.ir.reading.batching import rebatch
from workers.ir.reading.canonicalise import canonicalise
from workers.ir.reading.importer import load


def test_what_transposes_before_a_product_stays_an_operation_of_its_own() -> None:
    """As at the end of a recogniser of text lines: channels and places change their order before the last layer."""
    x = ops.parameter((1, 6, 4), np.float32, name="x")
    x.output(0).set_names({"x"})
    weight = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    scores = ops.matmul(ops.transpose(x, ops.constant([0, 2, 1])), ops.constant(weight), False, False, name="last")
    scores.output(0).set_names({"scores"})
    model = ov.Model([ops.result(scores)], [x])
    canonicalise(model)
    many = rebatch(model, 5)
    (layer,), _ = find_layers(model)
    (same,), _ = find_layers(many)
    assert same.geometry == layer.geometry
    node = next(node for node in many.get_ordered_ops() if node.friendly_name == "last")
    assert list(node.input_value(0).shape) == [5, 4, 6]


def test_operations_have_names_of_their_own() -> None:
    """Folding may call two constants alike; whoever looks one up by its name would get the other."""
    x = ops.parameter((1, 4), np.float32, name="x")
    x.output(0).set_names({"x"})
    sums = [ops.add(x, ops.constant(np.full((1, 4), value, np.float32), name="same")) for value in (1, 2)]
    model = ov.Model([ops.result(ops.multiply(*sums))], [x])
    model.outputs[0].set_names({"y"})
    names = [node.friendly_name for node in rebatch(model, 3).get_ordered_ops()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("turned", [(True, False, True), (False, True, True), (False, True, False)])
def test_a_weight_that_products_turn_is_read_in_batches_as_it_is_by_one(turned: tuple[bool, ...], tmp_path: Path) -> None:
    model = load(save(products(turned), tmp_path / "model.onnx")).model
    together = rebatch(model, 4)
    assert find_layers(together)[0] == find_layers(model)[0]
    assert weights(together) == weights(model)
