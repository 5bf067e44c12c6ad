"""Samples without data."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.workers.ir import tiny
from workers.calibration import from_fractals
from workers.errors import DataMismatch
from workers.ir.reading.importer import Imported, load
from workers.recipe import Preprocessing


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return load(tiny.save(tiny.cnn(), tmp_path_factory.mktemp("model") / "cnn.onnx"))


def sink(tmp_path: Path, kind: int, *inputs: tuple[str, tuple[int | None, ...]], table: int | None = None) -> Imported:
    """A model that adds up its inputs; with `table`, they are looked up in an embedding of that many rows."""
    nodes, products = [], []
    for name, _ in inputs:
        read = helper.make_node("Gather", ["table", name], [f"{name}/f"])
        nodes.append(read if table else helper.make_node("Cast", [name], [f"{name}/f"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("MatMul", [f"{name}/f", "w"], [f"{name}/m"]))
        products.append(f"{name}/m")
    nodes.append(helper.make_node("Sum", products, ["out"]))
    width = 4 if table else inputs[0][1][-1]
    assert width is not None
    weights = {"w": tiny.weight(width, 2)} | ({"table": tiny.weight(table, 4)} if table else {})
    model = tiny.graph(nodes, weights, dict(inputs))
    for value in model.graph.input:
        value.type.tensor_type.elem_type = kind
    return load(tiny.save(model, tmp_path / "sink.onnx"))


def test_images_are_fractals_with_the_assumptions_said_aloud(cnn: Imported) -> None:
    samples = from_fractals(cnn, 3, 0, Preprocessing())
    assert (samples.source, samples.count, samples.labels) == ("fractals", 3, None)
    assert samples.batch(0, 3)["in"].shape == (3, 3, 16, 16)
    pictures = samples.images(0, 3)
    assert pictures is not None
    assert (pictures.shape, pictures.dtype) == ((3, 16, 16, 3), np.uint8)
    assert any("ImageNet" in note for note in samples.notes)


def test_first_samples_do_not_depend_on_how_many_follow(cnn: Imported) -> None:
    few, many = (from_fractals(cnn, count, 5, Preprocessing()).images(0, 2) for count in (2, 6))
    np.testing.assert_array_equal(few, many)


def test_seed_changes_every_sample(cnn: Imported) -> None:
    first, second = (from_fractals(cnn, 3, seed, Preprocessing()).images(0, 3) for seed in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_each_image_input_sees_its_own_fractals(tmp_path: Path) -> None:
    model = sink(tmp_path, TensorProto.FLOAT, ("left", (None, 3, 8, 8)), ("right", (None, 3, 8, 8)))
    batch = from_fractals(model, 2, 0, Preprocessing()).batch(0, 2)
    assert (batch["left"] != batch["right"]).any(axis=(1, 2, 3)).all()


def test_size_of_fractals_is_that_of_the_input_and_said_to_be(cnn: Imported) -> None:
    samples = from_fractals(cnn, 1, 0, Preprocessing(resize=20, crop=16))
    assert any("resize and crop were not used" in note for note in samples.notes)


@pytest.mark.parametrize("shape", [(None, 3, 8, 1100), (None, 1030, 16, 1)])
def test_images_larger_than_fractals_are_scaled(tmp_path: Path, shape: tuple[int | None, ...]) -> None:
    samples = from_fractals(sink(tmp_path, TensorProto.FLOAT, ("in", shape)), 1, 0, Preprocessing())
    values = samples.batch(0, 1)["in"]
    assert values.shape == (1, *shape[1:])
    assert values.std() > 0


def test_crop_that_misses_the_input_is_refused(cnn: Imported) -> None:
    with pytest.raises(DataMismatch, match="20x20"):
        from_fractals(cnn, 1, 0, Preprocessing(crop=20))


def test_numbers_are_standard_normal_and_flagged(tmp_path: Path) -> None:
    samples = from_fractals(sink(tmp_path, TensorProto.FLOAT, ("in", (None, 500))), 20, 0, Preprocessing())
    values = samples.batch(0, 20)["in"]
    assert (samples.source, samples.images(0, 1)) == ("synthetic", None)
    assert (values.dtype, values.shape) == (np.float32, (20, 500))
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05
    assert any("mean nothing to the model" in note for note in samples.notes)


def test_tokens_stay_within_the_vocabulary(tmp_path: Path) -> None:
    samples = from_fractals(sink(tmp_path, TensorProto.INT64, ("in", (None, 200)), table=11), 5, 0, Preprocessing())
    values = samples.batch(0, 5)["in"]
    assert (values.dtype, set(values.ravel().tolist())) == (np.int64, set(range(11)))


@pytest.mark.parametrize(
    ("kind", "values"),
    [(TensorProto.INT8, (-128, 127)), (TensorProto.UINT8, (0, 255)), (TensorProto.BOOL, (0, 1)), (TensorProto.INT32, (1, 1))],
)
def test_integers_keep_the_range_of_their_type(tmp_path: Path, kind: int, values: tuple[int, int]) -> None:
    samples = from_fractals(sink(tmp_path, kind, ("in", (None, 4000))), 2, 0, Preprocessing())
    drawn = samples.batch(0, 2)["in"]
    assert (int(drawn.min()), int(drawn.max())) == values
    assert drawn.dtype == helper.tensor_dtype_to_np_dtype(kind)


def test_synthetic_samples_can_be_read_in_any_order(tmp_path: Path) -> None:
    samples = from_fractals(sink(tmp_path, TensorProto.FLOAT, ("in", (None, 6))), 9, 3, Preprocessing())
    np.testing.assert_array_equal(samples.batch(0, 9)["in"][4:7], samples.batch(4, 7)["in"])


def test_images_beside_numbers_count_as_fractals(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["pixels"]),
        helper.make_node("Concat", ["pixels", "state"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["out"]),
    ]
    model = tiny.graph(nodes, {"w": tiny.weight(195, 2)}, {"image": [None, 3, 8, 8], "state": [None, 3]})
    samples = from_fractals(load(tiny.save(model, tmp_path / "m.onnx")), 2, 0, Preprocessing())
    assert samples.source == "fractals"
    assert samples.applied["state"] == {"synthetic": "standard normal values"}
    assert samples.images(0, 2) is not None
