"""Formats of today, each written here: what is read is compressed, and what is not is refused by its name with a remedy."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from openvino.preprocess import PrePostProcessor

from tests.corpus import paddle, tflite
from tests.corpus.models import Build, image_classifier
from tests.corpus.test_corpus import STEPS, answers
from tests.corpus.test_odd_graphs import answers_of_onnx_runtime
from workers.errors import IncompleteModel, UnreadableModel, UnsupportedOperation
from workers.ir.files.tflite_file import check_output_names
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress


def pruned(path: Path, out: Path, **recipe: object) -> ov.Model:
    """The result of pruning half of the weights of a model; its report tells how many layers there were."""
    wanted = {"steps": [STEPS["prune"] | {"allocation": "uniform"}], "calibration": {"count": 16}, "benchmark": None, **recipe}
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=wanted, threads=1), Clock(lambda event: None))
    report = json.loads((out / "report.json").read_text())
    assert report["layers"]
    assert all(0.4 < layer["sparsity"] < 0.6 for layer in report["layers"])
    return ov.Core().read_model(out / "1/model.xml")


def test_a_paddle_program_is_read_with_the_file_of_its_weights(tmp_path: Path) -> None:
    weights = paddle.save(tmp_path)
    imported = load(tmp_path / "model.pdmodel")
    assert imported.format == "paddle"
    values = np.random.default_rng(2).normal(size=(3, 12)).astype(np.float32)
    expected = np.maximum(values @ weights["first"], 0) @ weights["second"]
    np.testing.assert_allclose(answers(ov.Core().read_model(tmp_path / "model.pdmodel"), [values])[0], expected, rtol=1e-4)
    result = pruned(tmp_path / "model.pdmodel", tmp_path / "out")
    assert [port.get_names() for port in (*result.inputs, *result.outputs)] == [{"x"}, {"y"}]
    (found,) = answers(result, [values])
    assert np.linalg.norm(found - expected) < 0.8 * np.linalg.norm(expected)
    (tmp_path / "model.pdiparams").unlink()
    with pytest.raises(IncompleteModel, match="model.pdiparams") as caught:
        load(tmp_path / "model.pdmodel")
    assert "one zip" in caught.value.hint


def newest_forms(opset: int) -> onnx.ModelProto:
    """What the exporters write since: axes as inputs (18), Gelu (20), and normalisation and attention as one operation (23)."""
    b = Build()
    h = b.op("MatMul", b.input("x", ["n", 6, 8]), b.weight(8, 8), name="mix")
    ones = b.constant(np.ones(8, np.float32))
    if opset >= 23:
        h = b.op("RMSNormalization", h, ones, axis=-1)
        h = b.op("Attention", h, h, h, q_num_heads=2, kv_num_heads=2)
    else:
        h = b.op("LayerNormalization", h, ones, axis=-1)
    h = b.op("Gelu", h) if opset >= 20 else b.relu(h)
    b.gemm(b.op("ReduceMean", h, b.constant(np.array([1])), keepdims=0), 8, 5, name="head", out="y")
    return versioned(b.model({"y": ["n", 5]}), opset)


def versioned(model: onnx.ModelProto, opset: int, *domains: str) -> onnx.ModelProto:
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)])
    model.ir_version = 10
    return model


def local_function() -> onnx.ModelProto:
    """A block that the file defines once and calls twice."""
    b = Build()
    h = b.op("MatMul", b.input("x", ["n", 8]), b.weight(8, 8), name="first")
    for number in range(2):
        h = b.op("Block", h, domain="local", out=f"b{number}")
    b.gemm(h, 8, 5, name="head", out="y")
    model = versioned(b.model({"y": ["n", 5]}), 21, "local")
    nodes = [helper.make_node("Relu", ["v"], ["r"]), helper.make_node("Add", ["r", "v"], ["w"])]
    model.functions.append(helper.make_function("local", "Block", ["v"], ["w"], nodes, [helper.make_opsetid("", 21)]))
    return model


def optimised(domain: str, kind: str) -> onnx.ModelProto:
    """As ONNX Runtime writes a convolution with its activation."""
    b = Build()
    x, w = b.input("x", ["n", 3, 8, 8]), b.weight(8, 3, 3, 3)
    h = b.op(kind, x, w, name="stem", domain=domain, activation="Relu", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    b.gemm(b.op("Flatten", b.op("GlobalAveragePool", h)), 8, 5, name="head", out="y")
    return versioned(b.model({"y": ["n", 5]}), 18, domain)


@pytest.mark.parametrize(
    ("model", "item"),
    [
        *(pytest.param(newest_forms(opset), (6, 8), id=f"opset {opset}") for opset in range(18, 24)),
        pytest.param(local_function(), (8,), id="local function"),
        pytest.param(optimised("com.microsoft", "FusedConv"), (3, 8, 8), id="fused by ONNX Runtime"),
    ],
)
def test_what_exporters_write_is_read_as_onnx_runtime_reads_it(
    model: onnx.ModelProto, item: tuple[int, ...], tmp_path: Path
) -> None:
    onnx.save(model, tmp_path / "model.onnx")
    imported = load(tmp_path / "model.onnx")
    assert len(find_layers(imported.model)[0]) == 2
    assert imported.inputs[0].batch_axis == 0
    values = np.random.default_rng(2).normal(size=(1, *item)).astype(np.float32)
    (expected,) = answers_of_onnx_runtime(tmp_path / "model.onnx", [values])
    np.testing.assert_allclose(answers(imported.model, [values])[0], expected, rtol=1e-3, atol=1e-4)


def test_what_onnx_runtime_laid_out_for_one_processor_is_refused_with_the_remedy(tmp_path: Path) -> None:
    onnx.save(optimised("com.microsoft.nchwc", "Conv"), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedOperation, match=r"com\.microsoft\.nchwc\.Conv") as caught:
        load(tmp_path / "model.onnx")
    assert "ORT_ENABLE_BASIC" in caught.value.hint


def test_an_open_axis_of_a_tflite_model_stays_open(tmp_path: Path) -> None:
    content, (first, second) = tflite.model(["y"])
    (tmp_path / "model.tflite").write_bytes(content)
    result = pruned(tmp_path / "model.tflite", tmp_path / "out")
    assert str(result.input(0).get_partial_shape()) == "[?,12]"
    values = np.random.default_rng(2).normal(size=(5, 12)).astype(np.float32)
    expected = np.maximum(values @ first.T, 0) @ second.T
    (found,) = answers(result, [values])
    assert np.linalg.norm(found - expected) < 0.8 * np.linalg.norm(expected)


def test_outputs_of_a_tflite_model_keep_their_order_and_must_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.model(["z", "a"])[0])
    assert load(path).outputs == ("z", "a")
    path.write_bytes(tflite.model(["y", "y"])[0])
    with pytest.raises(UnreadableModel, match="2 outputs of the model are called 'y'") as caught:
        load(path)
    assert "different names" in caught.value.hint


@given(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_damaged_tflite_file_is_left_to_openvino(place: int, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(tflite.model(["y"])[0])
    content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(content)
    with suppress(UnreadableModel):
        check_output_names(path)


@pytest.mark.parametrize("version", [10, 11])
def test_an_ir_in_half_precision_with_preprocessing_inside_takes_its_bytes(version: int, tmp_path: Path) -> None:
    onnx.save(image_classifier(), tmp_path / "model.onnx")
    steps = PrePostProcessor(ov.Core().read_model(tmp_path / "model.onnx"))
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean([127.0] * 3).scale([64.0] * 3)
    path = tmp_path / "model.xml"
    ov.save_model(steps.build(), path, compress_to_fp16=True)
    path.write_text(path.read_text().replace('version="11"', f'version="{version}"', 1))
    imported = load(path)
    (entry,) = imported.inputs
    assert (entry.dtype, entry.layout, entry.item, imported.precision) == (np.dtype(np.uint8), "NHWC", (16, 16, 3), "f16")
    assert len(find_layers(imported.model)[0]) == 3
    values = np.random.default_rng(2).integers(0, 255, (1, 16, 16, 3)).astype(np.uint8)
    (expected,), (found,) = (answers(model, [values]) for model in (ov.Core().read_model(path), imported.model))
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)
