"""Networks whose operations share weights, by every kind of step: one weight stays one, and what is told of it is true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest

from tests.corpus.models import INT64, Build
from workers.errors import BudgetOutOfReach
from workers.ir.graph.folding import folded
from workers.ir.graph.layers import nodes_by_name
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.recipe.forecast import foresee
from workers.run.clock import Clock
from workers.run.inspection import inspect
from workers.run.pipeline import compress

STEPS: dict[str, list[dict[str, Any]]] = {
    "pruning": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}],
    "uniform": [{"method": "uniform", "bits": 4, "allocation": "uniform"}],
    "inq": [{"method": "inq", "bits": 4}],
    "slq": [{"method": "slq", "bits": 4}],
    "mlq": [{"method": "mlq"}],
    "mcq": [{"method": "mcq", "samples_per_weight": 4}],
    "ec2t": [{"method": "ec2t"}],
    "int8": [{"method": "int8"}],
    "pruning and int8": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}, {"method": "int8"}],
    "weight_compression": [{"method": "weight_compression"}],
}


def repeated_products() -> onnx.ModelProto:
    """One matrix, by which a state is multiplied three times."""
    b = Build()
    weight = b.weight(64, 64)
    h = b.op("Tanh", b.gemm(b.input("x", ["n", 16]), 16, 64, name="stem"))
    for number in range(3):
        h = b.op("Tanh", b.op("MatMul", h, weight, name=f"use{number}"))
    b.gemm(h, 64, 8, name="head", out="y")
    return b.model({"y": ["n", 8]})


def tied_embeddings() -> onnx.ModelProto:
    """A table of words, and a head that multiplies by it."""
    b = Build()
    table = b.constant((b.rng.normal(size=(400, 32)) / 2).astype(np.float32))
    h = b.op("Gather", table, b.input("ids", [1, 12], INT64), name="look_up")
    inner = b.relu(b.op("MatMul", h, b.weight(32, 64), name="up"))
    h = b.op("Add", h, b.op("MatMul", inner, b.weight(64, 32), name="down"))
    b.op("MatMul", b.op("Tanh", h), b.op("Transpose", table, perm=[1, 0]), name="head", out="y")
    return b.model({"y": [1, 12, 400]})


def autoencoder() -> onnx.ModelProto:
    """A matrix inwards and its transpose outwards."""
    b = Build()
    weight = b.weight(64, 80)
    h = b.op("Tanh", b.op("MatMul", b.input("x", ["n", 64]), weight, name="inwards"))
    b.op("MatMul", h, b.op("Transpose", weight, perm=[1, 0]), name="outwards", out="y")
    return b.model({"y": ["n", 64]})


def back_and_forth() -> onnx.ModelProto:
    """A matrix, and twice its transpose."""
    b = Build()
    weight = b.weight(64, 80)
    turned = b.op("Transpose", weight, perm=[1, 0])
    h = b.op("Tanh", b.op("MatMul", b.input("x", ["n", 64]), weight, name="forth"))
    h = b.op("Tanh", b.op("MatMul", h, turned, name="back"))
    wide = b.op("Tanh", b.gemm(h, 64, 80, name="wide"))
    b.op("MatMul", wide, turned, name="again", out="y")
    return b.model({"y": ["n", 64]})


def pyramid() -> onnx.ModelProto:
    """The head of a detector, applied to three sizes of an image, and once with a dilated kernel."""
    b = Build()
    shared, bias = b.weight(16, 16, 3, 3), b.constant(b.rng.normal(size=16).astype(np.float32) / 9)
    h, outputs = b.relu(b.conv(b.input("x", ["n", 3, 32, 32]), 3, 16, name="stem")), {}
    for level in range(3):
        h = b.relu(b.conv(h, 16, 16, name=f"down{level}", strides=[2, 2]))
        reach = 2 if level == 0 else 1
        head = b.op("Conv", h, shared, bias, name=f"tower{level}", pads=[reach] * 4, dilations=[reach] * 2)
        b.op("Relu", head, out=f"y{level}")
        outputs[f"y{level}"] = ["n", 16, 16 // 2**level, 16 // 2**level]
    return b.model(outputs)


SHARING: dict[Callable[[], onnx.ModelProto], list[str]] = {
    repeated_products: ["use0", "use1", "use2"],
    tied_embeddings: ["look_up", "head"],
    autoencoder: ["inwards", "outwards"],
    back_and_forth: ["forth", "back", "again"],
    pyramid: ["tower0", "tower1", "tower2"],
}


def weight_of(model: ov.Model, name: str) -> tuple[str, Any]:
    """The name of the constant that an operation multiplies by, and its values."""
    node = nodes_by_name(model)[name]
    values = [value.get_node() for value in node.input_values() if len(value.get_partial_shape()) > 1]
    (constant,) = [value for value in values if value.get_type_name() == "Constant"]
    return str(constant.friendly_name), constant.data


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("build", SHARING)
def test_one_weight_stays_one(build: Callable[[], onnx.ModelProto], steps: str, tmp_path: Path) -> None:
    path, out, names = tmp_path / "model.onnx", tmp_path / "out", SHARING[build]
    onnx.save(build(), path)
    recipe = {"steps": STEPS[steps], "calibration": {"count": 32}, "benchmark": None}
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=recipe, threads=1), Clock(lambda event: None))
    report = json.loads((out / "report.json").read_text())
    result = folded(ov.Core().read_model(out / "1/model.xml"))
    found = [weight_of(result, name) for name in names]
    assert len({name for name, _ in found}) == 1
    rows = [row for row in report["layers"] if row["name"] in names]
    assert len(rows) == 1
    weights = [weight_of(result, row["name"])[1] for row in report["layers"]]
    zeros = sum(np.count_nonzero(values == 0) for values in weights) / sum(values.size for values in weights)
    assert report["sparsity"] == pytest.approx(zeros, abs=1e-6)
    assert (out / "1/model.bin").stat().st_size < 0.8 * path.stat().st_size
    assert report["fidelity"]["relative_error"]["value"] < 0.6
    note = next(note for note in report["calibration"]["notes"] if note.startswith("One weight is read by"))
    assert all(name in note for name in names)


@pytest.mark.parametrize("steps", ["pruning", "uniform", "inq"])
@pytest.mark.parametrize("build", SHARING)
def test_the_forecast_counts_a_weight_once(build: Callable[[], onnx.ModelProto], steps: str, tmp_path: Path) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "out"
    onnx.save(build(), path)
    inspect(JobTask(Kind.INSPECT, str(path), str(tmp_path / "seen"), threads=1), Clock(lambda event: None))
    recipe = {"steps": STEPS[steps], "calibration": {"count": 32}, "benchmark": None}
    expected = foresee(json.loads((tmp_path / "seen/inspection.json").read_text()), Recipe.model_validate(recipe))
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=recipe, threads=1), Clock(lambda event: None))
    report = json.loads((out / "report.json").read_text())
    assert {layer.name: layer.weights for layer in expected.layers} == {row["name"]: row["weights"] for row in report["layers"]}
    assert expected.compressed_bytes == pytest.approx(report["size"]["compressed_bytes"], rel=0.3)


def test_channels_of_shared_weights_stay_and_others_may_go(tmp_path: Path) -> None:
    onnx.save(pyramid(), tmp_path / "pyramid.onnx")
    onnx.save(repeated_products(), tmp_path / "products.onnx")
    steps = [{"method": "layerwise_pruning", "sparsity_level": 0.05, "pattern": "channel"}]
    recipe = {"steps": steps, "calibration": {"count": 32}, "benchmark": None}
    out = tmp_path / "out"
    with pytest.raises(BudgetOutOfReach, match="read by MatMul 'use0', whose weight other operations read too") as refused:
        compress(
            JobTask(Kind.COMPRESS, str(tmp_path / "products.onnx"), str(out), recipe, threads=1), Clock(lambda event: None)
        )
    assert "another pattern" in refused.value.hint
    compress(JobTask(Kind.COMPRESS, str(tmp_path / "pyramid.onnx"), str(out), recipe, threads=1), Clock(lambda event: None))
    result = folded(ov.Core().read_model(out / "1/model.xml"))
    assert len({weight_of(result, name)[0] for name in SHARING[pyramid]}) == 1
