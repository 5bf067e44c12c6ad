"""Equal weights become one constant; the model computes what it did."""

from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest

from tests.corpus.models import INT64, Build
from tests.corpus.test_corpus import answers, drawn
from tests.workers.ir.tiny import save
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load

SIDE = 12


def products(turned: tuple[bool, ...]) -> onnx.ModelProto:
    """Products with one matrix or with its transpose, one after another."""
    b = Build()
    weight, h = b.weight(SIDE, SIDE), b.input("x", ["n", SIDE])
    for number, transposed in enumerate(turned):
        factor = b.op("Transpose", weight, perm=[1, 0]) if transposed else weight
        h = b.op("MatMul", h, factor, name=f"use{number}", out="y" if number == len(turned) - 1 else "")
        h = h if h == "y" else b.op("Tanh", h)
    return b.model({"y": ["n", SIDE]})


def written_twice(rows: int = 20) -> onnx.ModelProto:
    """A table, and a head that has a turned copy of it."""
    b = Build()
    table = (b.rng.normal(size=(rows, 8)) / 2).astype(np.float32)
    h = b.op("Gather", b.constant(table), b.input("ids", ["n", 5], INT64), name="look_up")
    b.op("MatMul", h, b.constant(np.ascontiguousarray(table.T)), name="head", out="y")
    return b.model({"y": ["n", 5, rows]})


def weights(model: ov.Model) -> list[tuple[int, ...]]:
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    return [tuple(node.shape) for node in constants if node.data.size >= 64]


@pytest.mark.parametrize(
    "turned", [(False, False), (True, True), (False, True), (True, False, False), (False, True, True, False)]
)
def test_products_with_one_matrix_have_one_constant(turned: tuple[bool, ...], tmp_path: Path) -> None:
    path = save(products(turned), tmp_path / "model.onnx")
    model = load(path).model
    assert weights(model) == [(SIDE, SIDE)]
    (layer,), _ = find_layers(model)
    assert len(layer.nodes) == max(turned.count(True), turned.count(False))
    assert len(layer.readers) == len(turned)
    source = ov.Core().read_model(path)
    values = drawn(source, {})
    for expected, found in zip(answers(source, values), answers(model, values), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_table_and_the_head_that_has_a_copy_of_it_have_one_constant(tmp_path: Path) -> None:
    path = save(written_twice(), tmp_path / "model.onnx")
    model = load(path).model
    assert weights(model) == [(20, 8)]
    (layer,), skipped = find_layers(model)
    assert (layer.name, layer.others) == ("head", ("look_up",))
    assert not skipped  # the table is compressed as the head's weight
    source = ov.Core().read_model(path)
    values = [value % 20 for value in drawn(source, {})]
    for expected, found in zip(answers(source, values), answers(model, values), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_equal_by_chance_stays_apart(tmp_path: Path) -> None:
    """Weights that have one value, and those of a few elements."""
    b = Build()
    h = b.input("x", ["n", 8])
    for number in range(2):
        h = b.op("Tanh", b.op("MatMul", h, b.constant(np.full((8, 8), 0.1, np.float32)), name=f"flat{number}"))
    few = b.weight(8, 4)
    values = onnx.numpy_helper.to_array(b.weights[-1])
    first = b.op("MatMul", h, few, name="few0")
    second = b.op("MatMul", b.op("Tanh", h), b.constant(values.copy()), name="few1")
    b.op("Sub", first, second, out="y")
    model = load(save(b.model({"y": ["n", 4]}), tmp_path / "model.onnx")).model
    assert len(find_layers(model)[0]) == 4
