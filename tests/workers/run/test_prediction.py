"""What `fractune predict` shows, against ONNX Runtime and pictures whose answers are known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino as ov
import pytest
from openvino import opset13 as ops
from PIL import Image

from workers.errors import DataMismatch
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.prediction import predict

DIGITS = Path(__file__).parents[3] / "examples"
STEPS = {"steps": [{"method": "int8"}]}


def predicted(model: Path, data: Path, out: Path, **recipe: Any) -> Mapping[str, Any]:
    predict(JobTask(Kind.PREDICT, str(model), str(out), STEPS | recipe, str(data), threads=1), Clock(lambda event: None))
    found: Mapping[str, Any] = json.loads((out / "predictions.json").read_text())
    return found


def test_a_classifier_says_what_onnx_runtime_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    np.savez(tmp_path / "some.npz", x=pixels[..., None])
    declared = {"mean_values": [0], "scale_values": [255]}
    found = predicted(DIGITS / "digits.onnx", tmp_path / "some.npz", tmp_path, preprocessing=declared)
    session = onnxruntime.InferenceSession(DIGITS / "digits.onnx")
    (logits,) = session.run(None, {"image": pixels[:, None].astype(np.float32) / 255})
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for answer, row, output in zip(found["predictions"], shares, logits, strict=True):
        told = {entry["class"]: entry["probability"] for entry in answer["classes"]}
        assert list(told) == np.argsort(-row, kind="stable")[:5].tolist()
        assert list(told.values()) == pytest.approx([row[label] for label in told], abs=1e-4)
        assert answer["outputs"][0]["max"] == pytest.approx(output.max(), rel=1e-3)
    assert found["assumed"].startswith("Assumed: ")


def detector(path: Path, box: tuple[float, ...]) -> Path:
    """Finds one object of class 3 at the same place of every picture of 64x64, and another of which it is not sure."""
    x = ops.parameter((1, 3, 64, 64), np.float32, name="x")
    nothing = ops.multiply(ops.reduce_sum(x, ops.constant([0, 1, 2, 3]), keep_dims=False), ops.constant(np.float32(0)))
    values = {
        "boxes": np.array([box, (0, 0, 9, 9)], np.float32),
        "scores": np.array([0.9, 0.1], np.float32),
        "labels": np.array([3, 1], np.float32),
    }
    results = []
    for name, value in values.items():
        result = ops.result(ops.add(nothing, ops.constant(value)))
        result.output(0).set_names({name})
        results.append(result)
    x.output(0).set_names({"x"})
    ov.save_model(ov.Model(results, [x]), path, compress_to_fp16=False)
    return path


def test_boxes_are_told_in_pixels_of_the_picture(tmp_path: Path) -> None:
    """A picture of 128x64 fills the middle half of the input: a letterbox, as detectors have it."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (128, 64), "red").save(tmp_path / "pictures" / "wide.png")
    model = detector(tmp_path / "model.xml", (10, 20, 30, 40))
    found = predicted(model, tmp_path / "pictures", tmp_path)
    (answer,) = found["predictions"]
    assert (found["task"], answer["sample"]) == ("detection", "wide.png")
    assert [(entry["class"], entry["box"]) for entry in answer["objects"]] == [(3, [20.0, 8.0, 60.0, 48.0])]


def test_outputs_without_a_meaning_are_told_in_figures(tmp_path: Path) -> None:
    x = ops.parameter((1, 4), np.float32, name="x")
    x.output(0).set_names({"x"})
    ov.save_model(ov.Model([ops.result(ops.multiply(x, ops.constant(np.float32(2))))], [x]), tmp_path / "model.xml")
    np.savez(tmp_path / "some.npz", x=np.array([[1, 2, 3, 6]], np.float32))
    (answer,) = predicted(tmp_path / "model.xml", tmp_path / "some.npz", tmp_path, task="other")["predictions"]
    (output,) = answer["outputs"]
    assert (output["shape"], output["min"], output["mean"], output["max"]) == ([4], 2, 6, 12)
    np.savez(tmp_path / "wrong.npz", x=np.zeros((1, 5), np.float32))
    with pytest.raises(DataMismatch):
        predicted(tmp_path / "model.xml", tmp_path / "wrong.npz", tmp_path)
