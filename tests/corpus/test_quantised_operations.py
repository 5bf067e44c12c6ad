"""What OpenVINO does not run as it should once it is quantised: int8 leaves it in floating point, or writes it otherwise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper

from tests.corpus.models import INT64, Build
from tests.corpus.test_corpus import STEPS, answers
from workers.errors import NotQuantizable
from workers.ir.graph.runtime_faults import masking_operations
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress

WIDTH = 16


def recurrent(kind: str, gates: int, head: bool = True) -> onnx.ModelProto:
    """Cells that read a sequence in both directions, and a head."""
    b = Build()
    x = b.op("Transpose", b.input("x", ["n", 20, 8]), perm=[1, 0, 2])
    weights = b.weight(2, gates * WIDTH, 8), b.weight(2, gates * WIDTH, WIDTH)
    knobs: dict[str, Any] = {"hidden_size": WIDTH, "direction": "bidirectional"}
    b.nodes.append(helper.make_node(kind, [x, *weights], ["all", "last"], name="cells", **knobs))
    h = b.op("Reshape", b.op("Transpose", "all", perm=[2, 0, 1, 3]), b.constant(np.array([0, 0, 2 * WIDTH])), out="h")
    if head:
        b.op("MatMul", h, b.weight(2 * WIDTH, 4), name="head", out="y")
    return b.model({"y": ["n", 20, 4]} if head else {"h": ["n", 20, 2 * WIDTH]})


def quantised(model: onnx.ModelProto, folder: Path, **recipe: Any) -> tuple[Path, Path, dict[str, Any]]:
    """The paths of source and result, and the report."""
    path, out = folder / "model.onnx", folder / "out"
    onnx.save(model, path)
    recipe = {"steps": [STEPS["int8"]], "calibration": {"count": 24}, "benchmark": None, **recipe}
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=recipe, threads=1), Clock(lambda event: None))
    return path, out / "1/model.xml", json.loads((out / "report.json").read_text())


def lost(source: Path, result: Path, values: list[np.ndarray]) -> float:
    """The relative error of the first output."""
    (expected, *_), (found, *_) = (answers(ov.Core().read_model(path), values) for path in (source, result))
    return float(np.square(found - expected).sum() / np.square(expected).sum())


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_cells_answer_as_they_did(kind: str, gates: int, tmp_path: Path) -> None:
    source, result, report = quantised(recurrent(kind, gates), tmp_path)
    values = [np.random.default_rng(0).normal(size=(3, 20, 8)).astype(np.float32)]
    assert lost(source, result, values) < 0.02
    left = [note for note in report["calibration"]["notes"] if note.startswith("int8 leaves cells in floating point")]
    assert bool(left) == (kind != "RNN")
    assert [row["name"] for row in report["layers"]] == ["head"]


@pytest.mark.parametrize(("kind", "gates", "fault"), [("LSTM", 4, "loses .* % of the outputs"), ("GRU", 3, "does not run")])
def test_where_nothing_but_cells_could_be_quantised_that_is_said(kind: str, gates: int, fault: str, tmp_path: Path) -> None:
    with pytest.raises(
        NotQuantizable, match=f"int8 leaves cells in floating point: once such a cell is quantised, OpenVINO {fault}"
    ):
        quantised(recurrent(kind, gates, head=False), tmp_path)


def attention() -> onnx.ModelProto:
    """Words that attend to those that a mask lets them see; no normalisation."""
    b, width = Build(), 32
    h = b.op("Gather", b.weight(300, width), b.input("ids", ["n", 10], INT64), name="look_up")
    mask = b.op("Cast", b.input("mask", ["n", 10], INT64), to=TensorProto.FLOAT)
    hidden = b.op("Mul", b.op("Sub", b.constant(np.array(1, np.float32)), mask), b.constant(np.array(-1e4, np.float32)))
    q, k, v = (b.op("MatMul", h, b.weight(width, width), name=name) for name in "qkv")
    scores = b.op("MatMul", q, b.op("Transpose", k, perm=[0, 2, 1]))
    shares = b.op("Softmax", b.op("Add", scores, b.op("Unsqueeze", hidden, b.constant(np.array([1])))), axis=-1)
    b.gemm(b.op("ReduceMean", b.op("MatMul", shares, v), axes=[1], keepdims=0), width, 3, name="head", out="y")
    return b.model({"y": ["n", 3]})


def test_a_mask_still_hides_where_no_sample_had_anything_to_hide(tmp_path: Path) -> None:
    source, result, _ = quantised(attention(), tmp_path, shapes={"ids": [1, 10], "mask": [1, 10]})
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(0, 300, (8, 10)), np.ones((8, 10), np.int64)
    mask[:, 4:] = 0
    assert lost(source, result, [ids, mask]) < 0.1


def flagged() -> onnx.ModelProto:
    """A truth value that scales what a layer gives."""
    b = Build()
    h = b.relu(b.gemm(b.input("x", ["n", 8]), 8, 16, name="first"))
    flag = b.op("Cast", b.input("flag", ["n", 1], TensorProto.BOOL), to=TensorProto.FLOAT)
    b.gemm(b.op("Mul", h, b.op("Add", flag, b.constant(np.array(1, np.float32)))), 16, 4, name="second", out="y")
    return b.model({"y": ["n", 4]})


def test_truth_values_may_scale_what_is_quantised(tmp_path: Path) -> None:
    source, result, report = quantised(flagged(), tmp_path)
    values = [np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32), np.arange(6)[:, None] % 2 == 0]
    assert lost(source, result, values) < 0.1
    assert len(report["layers"]) == 2


def test_the_bias_of_a_head_is_no_mask(tmp_path: Path) -> None:
    b = Build()
    b.op("Softmax", b.gemm(b.input("x", ["n", 8]), 8, 4, name="head"), out="y")
    onnx.save(b.model({"y": ["n", 4]}), tmp_path / "model.onnx")
    assert masking_operations(load(tmp_path / "model.onnx").model) == []
    onnx.save(attention(), tmp_path / "model.onnx")
    assert len(masking_operations(load(tmp_path / "model.onnx", {"ids": (1, 10), "mask": (1, 10)}).model)) == 1
