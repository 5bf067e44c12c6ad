"""`import fractune`: what the documentation shows, with a path and with a model in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

import fractune

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECIPE = json.loads((EXAMPLES / "recipe.json").read_text()) | {
    "calibration": {"count": 32, "inversion_steps": 0},
    "benchmark": None,
}
JUDGED = RECIPE | {"constraint": {"metric": "accuracy", "max_drop": 1.0}}
METRIC = """
def certainty(outputs, label):
    (scores,) = outputs.values()
    return float(scores[label])
"""


@pytest.fixture(scope="module")
def from_path(tmp_path_factory: pytest.TempPathFactory) -> "fractune.Optimized[Path]":
    """Judged by a metric that is the user's own code."""
    out = tmp_path_factory.mktemp("library")
    (out / "own_metric.py").write_text(METRIC)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(out)
        options: dict[str, Any] = {"eval": EXAMPLES / "digits.npz", "out": out, "metric": "own_metric:certainty", "threads": 1}
        return fractune.optimize(EXAMPLES / "digits.onnx", JUDGED, **options)


def test_a_path_gives_the_path_of_the_model_and_the_report(from_path: "fractune.Optimized[Path]") -> None:
    folder = from_path.model.parents[1]
    assert from_path.model == folder / "1/model.xml"
    assert from_path.report == json.loads((folder / "report.json").read_text())
    assert from_path.report["sparsity"] == pytest.approx(0.7, abs=0.01)


def test_a_metric_may_be_the_users_own_code(from_path: "fractune.Optimized[Path]") -> None:
    verdict = from_path.report["constraint"]
    assert (verdict["metric"], verdict["n"], verdict["met"]) == ("custom", 600, True)
    assert 0 < verdict["achieved"] < 1


def test_the_command_makes_the_same_bytes(from_path: "fractune.Optimized[Path]", tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(JUDGED))
    (tmp_path / "own_metric.py").write_text(METRIC)
    arguments = ("--recipe", "recipe.json", "--out", "out", "--threads", "1", "--quiet")
    judged = ("--eval", str(EXAMPLES / "digits.npz"), "--metric", "own_metric:certainty")
    command = [sys.executable, "-m", "service", "optimize", str(EXAMPLES / "digits.onnx"), *arguments, *judged]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["constraint"] == from_path.report["constraint"]
    for name in ("1/model.xml", "1/model.bin"):
        assert (tmp_path / "out" / name).read_bytes() == (from_path.model.parents[1] / name).read_bytes()


def test_a_model_in_memory_gives_a_model_in_memory_and_stays_as_it_is(from_path: "fractune.Optimized[Path]") -> None:
    model = ov.Core().read_model(EXAMPLES / "digits.onnx")
    digits = dict(np.load(EXAMPLES / "digits.npz"))
    before = constants(model)
    events: list[str] = []
    recipe = fractune.Recipe.model_validate(RECIPE)
    held_out = {name: values[300:] for name, values in digits.items()}
    result = fractune.optimize(
        model, recipe, data=digits["x"][:300], eval=held_out, threads=1, on_event=lambda event: events.append(event["event"])
    )
    assert [value.tobytes() for value in constants(model)] == [value.tobytes() for value in before]
    assert [port.any_name for port in result.model.outputs] == [port.any_name for port in model.outputs]
    assert result.report["calibration"]["source"] == "dataset"
    assert result.report["fidelity"]["accuracy_compressed"]["value"] > 0.9
    assert {"progress", "layer"} <= set(events)
    assert ov.compile_model(result.model, "CPU")(np.zeros((1, 1, 32, 32), np.float32))[0].shape == (1, 10)


def constants(model: ov.Model) -> list[np.ndarray]:
    return [node.data.copy() for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]


def test_a_failure_is_the_error_of_its_code(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(fractune.FractuneError) as refused:
        fractune.optimize(tmp_path / "model.onnx", RECIPE, out=tmp_path / "out")
    assert (refused.value.code, refused.value.details["stage"]) == ("UNSUPPORTED_FORMAT", "import")
    with pytest.raises(fractune.FractuneError, match="no_such_method") as invalid:
        fractune.optimize(tmp_path / "model.onnx", {"steps": [{"method": "no_such_method"}]})
    assert invalid.value.code == "RECIPE_INVALID"
    with pytest.raises(FileNotFoundError):
        fractune.optimize(tmp_path / "nowhere.onnx", RECIPE)


def test_the_example_beside_nncf_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "library.py")]
    env = {"PYTHONPATH": str(ROOT), "CI": "true", "OMP_NUM_THREADS": "1"}  # tests run side by side
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "70 % of the weights are zero" in done.stdout
    assert {path.name for path in tmp_path.glob("*.xml")} == {"quantized.xml", "pruned-and-quantized.xml"}
