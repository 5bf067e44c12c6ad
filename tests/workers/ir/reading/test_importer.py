import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import openvino.opset13 as ops
import pytest
from onnx import TensorProto, helper

from tests.workers.ir import tiny
from workers.ir.graph.edit import find_bias
from workers.ir.graph.layers import find_layers, nodes_by_name
from workers.ir.graph.shapes import set_batch
from workers.ir.reading.importer import Imported, describe_model, load
from workers.ir.writing.reopening import reopen


def run(model: ov.Model, value: np.ndarray) -> np.ndarray:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled([value]).values()))


def reference(model: onnx.ModelProto, value: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"in": value})[0]


def reopened(imported: Imported) -> tuple[str, ...]:
    return reopen(imported.model, imported.interface, imported.shapes, imported.trial, imported.inputs)


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    return load(tiny.save(tiny.cnn(), tmp_path / "tiny.onnx"))


def test_model_computes_what_onnxruntime_computes(tmp_path: Path) -> None:
    model = tiny.cnn()
    value = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    result = run(load(tiny.save(model, tmp_path / "tiny.onnx")).model, value)
    np.testing.assert_allclose(result, reference(model, value), rtol=1e-4, atol=1e-5)


def test_half_precision_model_computes_in_single_and_keeps_its_types(tmp_path: Path) -> None:
    model = tiny.cnn(kind=TensorProto.FLOAT16)
    imported = load(tiny.save(model, tmp_path / "tiny.onnx"))
    value = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float16)
    constants = [node for node in imported.model.get_ops() if node.get_type_name() == "Constant"]
    assert imported.precision == "f16"
    assert imported.inputs[0].dtype == np.float16
    assert imported.outputs == ("out",)
    assert not any(node.get_element_type() == ov.Type.f16 for node in constants)
    result = run(imported.model, value)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, reference(model, value), rtol=2e-2, atol=2e-2)


def test_weights_stored_in_half_precision_become_single(tmp_path: Path) -> None:
    source = load(tiny.save(tiny.cnn(), tmp_path / "tiny.onnx"))
    ov.save_model(source.model, tmp_path / "half.xml", compress_to_fp16=True)
    imported = load(tmp_path / "half.xml")
    assert (imported.format, imported.precision) == ("openvino", "f16")
    assert len(find_layers(imported.model)[0]) == 3


def test_bias_of_every_biased_layer_is_found(imported: Imported) -> None:
    nodes = nodes_by_name(imported.model)
    layers, _ = find_layers(imported.model)
    biased = {layer.name: find_bias(nodes[layer.name], layer.channels) is not None for layer in layers}
    assert biased == {"first": True, "second": False, "third": True}


def test_shape_computations_are_folded(tmp_path: Path) -> None:
    model = load(tiny.save(tiny.cnn(batch=1), tmp_path / "tiny.onnx")).model
    assert not [node for node in model.get_ops() if node.get_type_name() in ("ShapeOf", "BatchNormInference")]


def test_layers_keep_the_names_of_the_source_in_every_load(tmp_path: Path) -> None:
    path = tiny.save(tiny.cnn(), tmp_path / "tiny.onnx")
    first, second = ([node.friendly_name for node in load(path).model.get_ordered_ops()] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)


def test_names_of_inputs_and_outputs_survive_export(imported: Imported, tmp_path: Path) -> None:
    ov.save_model(imported.model, tmp_path / "out.xml", compress_to_fp16=False)
    model = ov.Core().read_model(tmp_path / "out.xml")
    assert [port.get_any_name() for port in model.inputs] == ["in"]
    assert [port.get_any_name() for port in model.outputs] == ["out"]


def test_input_is_described(imported: Imported) -> None:
    (entry,) = imported.inputs
    assert (entry.name, entry.shape, entry.dtype.name) == ("in", (1, 3, 16, 16), "float32")
    assert (entry.layout, entry.batch_axis, entry.source_shape) == ("NCHW", 0, (-1, 3, 16, 16))


def test_open_batch_becomes_one_and_can_be_opened_again(imported: Imported) -> None:
    assert imported.model.input().shape == ov.Shape([1, 3, 16, 16])
    reopened(imported)
    value = np.zeros((5, 3, 16, 16), np.float32)
    assert run(imported.model, value).shape == (5, 5)


def test_fixed_batch_becomes_one_and_is_given_back(tmp_path: Path) -> None:
    imported = load(tiny.save(tiny.cnn(batch=4), tmp_path / "four.onnx"))
    assert (imported.inputs[0].shape[0], imported.inputs[0].batch_axis, imported.inputs[0].source_shape[0]) == (1, 0, 4)
    reopened(imported)
    assert list(imported.model.output().shape) == [4, 5]


def test_batch_that_flows_as_a_value_can_be_changed(tmp_path: Path) -> None:
    """A class token is repeated once per sample, as in vision transformers."""
    nodes = [
        helper.make_node("Shape", ["in"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "tail"], ["target"], axis=0),
        helper.make_node("Expand", ["token", "target"], ["tokens"]),
        helper.make_node("Concat", ["tokens", "in"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["out"]),
    ]
    weights = {"tail": np.array([1, 4]), "token": tiny.weight(1, 1, 4), "w": tiny.weight(4, 3)}
    model = tiny.graph(nodes, weights, {"in": [None, 2, 4]})
    imported = load(tiny.save(model, tmp_path / "token.onnx"))
    assert imported.inputs[0].batch_axis == 0
    set_batch(imported.model, ["in"], 3)
    value = np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32)
    np.testing.assert_allclose(run(imported.model, value), reference(model, value), rtol=1e-4, atol=1e-5)


def test_model_that_mixes_samples_takes_one_at_a_time(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["in", "flat"], ["rows"]), helper.make_node("MatMul", ["rows", "w"], ["out"])]
    model = tiny.graph(nodes, {"flat": np.array([1, -1, 2]), "w": tiny.weight(2, 3)}, {"in": [1, 2, 4]})
    assert load(tiny.save(model, tmp_path / "mixes.onnx")).inputs[0].batch_axis is None


@pytest.mark.parametrize(
    ("shape", "layout"), [((1, 3, 8, 9), "NCHW"), ((1, 9, 8, 3), "NHWC"), ((1, 3, 2, 3), None), ((1, 4), None)]
)
def test_layout_is_read_off_the_shape(tmp_path: Path, shape: tuple[int, ...], layout: str | None) -> None:
    nodes = [helper.make_node("MatMul", ["in", "w"], ["out"])]
    model = tiny.graph(nodes, {"w": tiny.weight(shape[-1], 2)}, {"in": shape})
    assert load(tiny.save(model, tmp_path / "m.onnx")).inputs[0].layout == layout


def test_vocabulary_is_read_off_the_embedding(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "in"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "w"], ["out"]),
    ]
    model = tiny.graph(nodes, {"table": tiny.weight(17, 4), "w": tiny.weight(4, 2)}, {"in": [None, 6]})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    (entry,) = load(tiny.save(model, tmp_path / "tokens.onnx")).inputs
    assert (entry.vocabulary, entry.dtype.name, entry.layout) == (17, "int64", None)


def test_control_flow_is_imported(tmp_path: Path) -> None:
    branch = helper.make_graph([helper.make_node("Relu", ["m"], ["y"])], "b", [], [helper.make_tensor_value_info("y", 1, None)])
    nodes = [
        helper.make_node("MatMul", ["in", "w"], ["m"]),
        helper.make_node("ReduceSum", ["m"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["g"]),
        helper.make_node("If", ["g"], ["out"], then_branch=branch, else_branch=branch),
    ]
    model = tiny.graph(nodes, {"w": tiny.weight(4, 4), "zero": np.float32(0)}, {"in": [1, 4]})
    assert len(find_layers(load(tiny.save(model, tmp_path / "if.onnx")).model)[0]) == 1


def test_infinity_in_a_mask_is_accepted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["in", "w"], ["m"]),
        helper.make_node("Greater", ["m", "zero"], ["g"]),
        helper.make_node("Where", ["g", "m", "floor"], ["out"]),
    ]
    weights: tiny.Weights = {"w": tiny.weight(4, 3), "zero": np.float32(0), "floor": np.float32(-np.inf)}
    imported = load(tiny.save(tiny.graph(nodes, weights, {"in": [None, 4]}), tmp_path / "mask.onnx"))
    assert imported.format == "onnx"


def test_file_is_named_by_its_hash_and_measured(tmp_path: Path) -> None:
    path = tiny.save(tiny.cnn(), tmp_path / "tiny.onnx")
    imported = load(path)
    assert imported.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert imported.original_bytes == path.stat().st_size


def test_size_of_an_ir_includes_its_weights(imported: Imported, tmp_path: Path) -> None:
    ov.save_model(imported.model, tmp_path / "m.xml", compress_to_fp16=False)
    assert load(tmp_path / "m.xml").original_bytes == sum((tmp_path / f"m.{end}").stat().st_size for end in ("xml", "bin"))


@pytest.mark.parametrize("name", ["model", "model.tflite", "model.pdmodel", "model.xml"])
def test_name_of_the_file_does_not_matter(tmp_path: Path, name: str) -> None:
    assert load(tiny.save(tiny.cnn(), tmp_path / name)).format == "onnx"


def test_inspection_is_json(imported: Imported) -> None:
    report = json.loads(json.dumps(describe_model(imported)))
    assert report["format"] == "onnx"
    assert report["inputs"][0]["shape"] == [1, 3, 16, 16]
    assert report["outputs"] == [{"name": "out", "shape": [1, 5], "dtype": "float32"}]
    assert report["parameters"] == 4 * 27 + 4 + 8 * 9 + 40 + 5  # batch norm is folded into the first layer


def test_tensors_without_a_name_get_the_one_of_their_operation(tmp_path: Path) -> None:
    parameter = ops.parameter([1, 4], np.float32, name="data")
    product = ops.matmul(parameter, ops.constant(tiny.weight(4, 3)), False, False, name="prob")
    ov.save_model(ov.Model([product], [parameter]), tmp_path / "m.xml", compress_to_fp16=False)
    (tmp_path / "m.xml").write_text(re.sub(r' (output_)?names="[^"]*"', "", (tmp_path / "m.xml").read_text()))
    imported = load(tmp_path / "m.xml")
    assert ([entry.name for entry in imported.inputs], imported.outputs) == (["data"], ("prob",))
