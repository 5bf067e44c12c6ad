"""A head that nobody knows, decoded by a model of the user's: through the service and at the prompt."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.end_to_end.embedded import ROOT, Service, running_service
from tests.waiting import PATIENCE_S

CELLS = 16  # 4 by 4, of 8 pixels each
RECIPE = {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.3}],
    "calibration": {"count": 16, "inversion_steps": 0},
    "benchmark": None,
}


def network(kind: str, inputs: dict[str, list[int]], outputs: dict[str, list[Any]], nodes: list[Any], **held: Any) -> bytes:
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    kinds = dict.fromkeys(outputs, TensorProto.FLOAT) | {"labels": TensorProto.INT64}
    begins = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    ends = [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, kind, begins, ends, values)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def detector() -> bytes:
    """[1, 3, 32, 32] to a `grid` [1, 7, 4, 4]: where an object is in its cell, whether there is one, and its class of two."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["inner"], strides=[2, 2], kernel_shape=[2, 2]),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("Conv", ["active", "second"], ["grid"], strides=[4, 4], kernel_shape=[4, 4]),
    ]
    first, second = (rng.normal(size=shape).astype(np.float32) for shape in ((16, 3, 2, 2), (7, 16, 4, 4)))
    return network("detector", {"image": [1, 3, 32, 32]}, {"grid": [1, 7, 4, 4]}, nodes, first=first / 2, second=second / 8)


def decoder() -> bytes:
    """`grid` to boxes of 8 by 8 pixels about the middle of each cell, scores and labels."""
    middles = 8 * np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(1, CELLS, 2) + 4
    corners = np.concatenate([middles - 4, middles + 4], axis=2).astype(np.float32)
    nodes = [
        helper.make_node("Reshape", ["grid", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["cells"], perm=[0, 2, 1]),
        helper.make_node("Split", ["cells", "parts"], ["shift", "present", "class"], axis=2),
        helper.make_node("Tanh", ["shift"], ["moved"]),
        helper.make_node("Add", ["corners", "moved"], ["boxes"]),
        helper.make_node("Sigmoid", ["present"], ["likely"]),
        helper.make_node("Squeeze", ["likely", "last"], ["scores"]),
        helper.make_node("ArgMax", ["class"], ["labels"], axis=2, keepdims=0),
    ]
    outputs: dict[str, list[Any]] = {"boxes": [1, CELLS, 4], "scores": [1, CELLS], "labels": [1, CELLS]}
    held = {"shape": np.array([1, 7, CELLS]), "parts": np.array([4, 1, 2]), "corners": corners, "last": np.array([2])}
    return network("decoder", {"grid": [1, 7, 4, 4]}, outputs, nodes, **held)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, decoder, recipe and pictures."""
    made = tmp_path_factory.mktemp("decoder")
    (made / "detector.onnx").write_bytes(detector())
    (made / "decoder.onnx").write_bytes(decoder())
    recipe = RECIPE | {"decoder": "decoder.onnx", "constraint": {"metric": "mAP", "max_drop": 0.9}}
    (made / "recipe.json").write_text(json.dumps(recipe))
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(made / "pictures.zip", "w") as archive:
        for number in range(24):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(file, "PNG")
            archive.writestr(f"images/{number}.png", file.getvalue())
    return made


def run(folder: Path, *arguments: str, data_dir: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(data_dir), "COLUMNS": "200"}
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module")
def at_the_prompt(folder: Path) -> dict[str, Any]:
    """The report of `fractune optimize`."""
    arguments = ("--recipe", "recipe.json", "--eval", "pictures.zip", "--out", "out", "--quiet")
    done = run(folder, "optimize", "detector.onnx", *arguments, data_dir=folder / "data")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / "out/report.json").read_text())
    return report


def judged(report: dict[str, Any]) -> tuple[Any, Any]:
    """The task with its figures, and the verdict."""
    return report["fidelity"], report["constraint"]


def test_the_command_decodes_with_the_model_that_the_recipe_names(at_the_prompt: dict[str, Any]) -> None:
    fidelity, constraint = judged(at_the_prompt)
    assert fidelity["task"] == "detection"
    assert constraint["metric"] == "mAP"
    assert 0 < constraint["achieved"] < 0.9


def test_the_service_does_the_same_with_an_uploaded_one(folder: Path, service: Service, at_the_prompt: dict[str, Any]) -> None:
    submit = ("submit", "detector.onnx", "--recipe", "recipe.json", "--eval", "pictures.zip", "--wait", "--quiet")
    done = run(folder, *submit, data_dir=service.data_dir)
    assert done.returncode == 0, done.stderr
    listed = json.loads(run(folder, "jobs", "--json", data_dir=service.data_dir).stdout)
    compressed = next(job for job in listed if job["kind"] == "compress")
    report = json.loads(run(folder, "report", compressed["id"], "--json", data_dir=service.data_dir).stdout)
    assert judged(report) == judged(at_the_prompt)
