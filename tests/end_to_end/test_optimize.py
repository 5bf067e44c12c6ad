"""The carried example through `fractune optimize`: the real command, child, pipeline and model."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino.passes import ConstantFolding, Manager

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SPARSITY = json.loads((EXAMPLES / "recipe.json").read_text())["steps"][0]["sparsity_level"]


def optimize(out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service", "optimize", str(EXAMPLES / "digits.onnx"), "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(out / "data")}
    return subprocess.run(command, env=environment, cwd=out.parent, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the example's recipe, measured on its evaluation split."""
    out = tmp_path_factory.mktemp("optimize") / "digits"
    done = optimize(out, "--recipe", str(EXAMPLES / "recipe.json"), "--eval", str(EXAMPLES / "digits.npz"), "--threads", "1")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return values


COMMANDS = re.findall(r"^fractune (optimize .*)$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tutorial_tells_what_works(tmp_path: Path, command: str) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "service", *command.split()], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_the_folder_is_laid_out_for_model_server(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"1/model.xml", "1/model.bin", "report.json", "report.html", "provenance.json", "log.txt"} <= files


def test_the_model_keeps_its_interface(folder: Path) -> None:
    before, after = (ov.Core().read_model(path) for path in (EXAMPLES / "digits.onnx", folder / "1" / "model.xml"))
    for ports in ("inputs", "outputs"):
        assert [port.any_name for port in getattr(before, ports)] == [port.any_name for port in getattr(after, ports)]
        assert [port.partial_shape for port in getattr(before, ports)] == [port.partial_shape for port in getattr(after, ports)]


def test_the_zeros_are_in_the_weights_that_inference_uses(folder: Path, report: dict[str, Any]) -> None:
    model = ov.Core().read_model(folder / "1" / "model.xml")
    manager = Manager()
    manager.register_pass(ConstantFolding())  # decodes what is stored in another form
    manager.run_passes(model)
    chosen = {layer["name"] for layer in report["layers"]}
    kinds = ("Convolution", "GroupConvolution", "MatMul")
    layers = [node for node in model.get_ops() if node.get_type_name() in kinds and node.friendly_name in chosen]
    weights = [node.input_value(1).get_node().get_data() for node in layers]
    zeros = sum(int(np.count_nonzero(weight == 0)) for weight in weights) / sum(weight.size for weight in weights)
    assert len(layers) == len(chosen)
    assert len(chosen) + len(report["skipped"]) == 12
    assert zeros == pytest.approx(report["sparsity"], abs=1e-4)
    assert zeros == pytest.approx(SPARSITY, abs=0.01)


def test_the_digits_are_still_read(report: dict[str, Any]) -> None:
    fidelity = report["fidelity"]
    assert fidelity["n"] == 600
    assert fidelity["accuracy_original"]["value"] == pytest.approx(593 / 600, abs=0.002)
    assert fidelity["accuracy_compressed"]["value"] > 0.95
    for name in ("agreement", "accuracy_original", "accuracy_compressed"):
        assert fidelity[name]["low"] <= fidelity[name]["value"] <= fidelity[name]["high"]


def test_the_same_inputs_and_seed_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    recipe = str(EXAMPLES / "recipe.json")
    assert optimize(again, "--recipe", recipe, "--eval", str(EXAMPLES / "digits.npz"), "--threads", "1").returncode == 0
    assert (again / "1" / "model.bin").read_bytes() == (folder / "1" / "model.bin").read_bytes()
    assert (again / "1" / "model.xml").read_bytes() == (folder / "1" / "model.xml").read_bytes()


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("<html>")
    command = [sys.executable, "-m", "service", "optimize", "model.onnx", "--prune", "0.5"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
