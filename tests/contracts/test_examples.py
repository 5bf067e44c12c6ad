"""The examples of the documentation do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from examples.binary_weights import Binary
from examples.model_folder import main, preprocessing_of
from tests.contracts.test_documentation import ROOT
from tests.workers.methods.problems import KINDS, SHAPES, problem


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_single_flip_of_a_sign_makes_binary_weights_better(kind: str, shape: tuple[int, int, int]) -> None:
    layer = problem(kind, shape)
    weight = Binary(rounds=100).solve(layer, np.random.default_rng(0)).weight
    assert (np.abs(weight) == np.abs(weight[:, :, :1])).all(), "one magnitude per output channel"
    for position in product(*map(range, weight.shape)):
        flipped = weight.copy()
        flipped[position] *= -1
        assert layer.error(flipped) >= layer.error(weight) - 1e-9


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml", "argo-workflow.yml"])
def test_a_pipeline_calls_the_shared_script(name: str) -> None:
    text = (ROOT / "examples" / "pipelines" / name).read_text()
    assert isinstance(yaml.safe_load(text), dict)
    assert "compress.sh" in text


QUICK = {"steps": [{"method": "uniform", "bits": 8}], "calibration": {"count": 32, "inversion_steps": 0}, "benchmark": None}
PAGE = (ROOT / "docs" / "adding-a-method.md").read_text()


def snippet_of(title: str) -> str:
    (text,) = re.findall(rf'^```\w+ title="{title}"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def extend(file: Path, imported: str, lines: str) -> None:
    """Put what stands behind the dots of every line into the collection of that name in a file."""
    text = file.read_text().replace("\nimport ", f"\n{imported}\nimport ", 1)
    for name, entry in re.findall(r"^(\w+) = .\.\.\., (.*).$", lines, re.MULTILINE):
        text = re.sub(rf"^({name}\b.* = [\[({{].*)\n", rf"\1\n    {entry},\n", text, count=1, flags=re.MULTILINE)
    file.write_text(text)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages in which the steps of the page have been taken."""
    house = tmp_path_factory.mktemp("house")
    for package in ("service", "workers", "fractal_data", "tests", "examples", "docs"):
        shutil.copytree(ROOT / package, house / package, ignore=shutil.ignore_patterns("__pycache__", "images"))
    shutil.copy(ROOT / "pyproject.toml", house)
    (snippet,) = re.findall(r'^--8<-- "(examples/.*)"$', PAGE, re.MULTILINE)
    shutil.copy(ROOT / snippet, house / "workers/methods/binary.py")
    catalogue, test = (snippet_of(name) for name in ("workers/methods/__init__.py", "tests/workers/methods/test_binary.py"))
    file = house / "workers/methods/__init__.py"
    added, entry = catalogue.splitlines()
    assert entry == "METHODS = (..., Binary)"
    file.write_text(
        file.read_text()
        .replace("from pydantic", f"{added}\nfrom pydantic", 1)
        .replace("    Finetune,\n", "    Finetune,\n    Binary,\n")
    )
    (house / "tests/workers/methods/test_binary.py").write_text(test)
    for name in ("tests/contracts/test_methods.py", "tests/contracts/test_stored_methods.py"):
        extend(house / name, added, snippet_of(name))
    project = house / "pyproject.toml"
    project.write_text(
        project.read_text().replace('  "workers.methods.ec2t', f'{snippet_of("pyproject.toml")}  "workers.methods.ec2t', 1)
    )
    (house / "binary.json").write_text(re.search(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
    return house


def there(house: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(house), "COLUMNS": "200"}
    return subprocess.run([sys.executable, *command], cwd=house, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("line", re.findall(r"^fractune (.*)$", PAGE, re.MULTILINE))
def test_the_page_on_adding_a_method_adds_one(house: Path, line: str) -> None:
    done = there(house, "-m", "service", *line.split())
    assert done.returncode == 0, done.stderr


def test_the_added_method_has_made_a_binary_model(house: Path) -> None:
    done = there(
        house, "-m", "service", "optimize", "examples/digits.onnx", "--recipe", "binary.json", "--out", "made", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((house / "made/report.json").read_text())
    assert {layer["method"] for layer in report["layers"]} == {"binary"}
    assert max(layer["bits"] for layer in report["layers"] if layer["weights"] > 1000) < 4


def test_what_holds_every_method_holds_the_added_one(house: Path) -> None:
    tests = [
        "workers/methods/test_binary.py",
        *(f"contracts/test_{name}.py" for name in ("methods", "stored_methods", "house")),
    ]
    chosen = "binary or stored or names_every_method or crowded"
    done = there(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *(f"tests/{test}" for test in tests))
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_a_folder_of_mlflow_comes_back_in_its_layout(tmp_path: Path) -> None:
    folder, out = tmp_path / "model", tmp_path / "out"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "digits.onnx", folder / "model.onnx")
    signature = {"inputs": '[{"name": "image", "type": "tensor"}]'}
    told = {
        "flavors": {"onnx": {"data": "model.onnx"}, "python_function": {"loader_module": "mlflow.onnx"}},
        "signature": signature,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(told))
    main(folder, out, QUICK)
    result = yaml.safe_load((out / "MLmodel").read_text())
    assert result["signature"] == signature
    assert list(result["flavors"]) == ["openvino"]
    assert (out / result["flavors"]["openvino"]["data"]).with_suffix(".bin").stat().st_size > 0
    assert (out / result["flavors"]["openvino"]["fractune_report"]).is_file()


def test_a_folder_of_hugging_face_declares_its_preprocessing(tmp_path: Path) -> None:
    folder, out = tmp_path / "model", tmp_path / "out"
    (folder / "onnx").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "digits.onnx", folder / "onnx" / "model.onnx")
    config = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.25], "image_std": [0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    main(folder, out, QUICK)
    report = json.loads((out / "fractune" / "report.json").read_text())
    assert report["preprocessing"]["inputs"]["image"]["mean_values"] == [63.75]
    assert report["preprocessing"]["inputs"]["image"]["scale_values"] == [127.5]
    assert {"openvino_model.xml", "openvino_model.bin", "config.json", "README.md"} <= {file.name for file in out.iterdir()}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"do_rescale": False, "do_normalize": False}, {"mean_values": [0.0], "scale_values": [1.0]}),
        ({"do_normalize": False}, {"mean_values": [0.0], "scale_values": [255.0]}),
        (
            {
                **{"image_mean": [0.5], "image_std": [0.5], "do_center_crop": True},
                **{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
            },
            {"mean_values": [127.5], "scale_values": [127.5], "resize": 256, "crop": 224},
        ),
    ],
)
def test_what_a_processor_does_is_spelt_as_a_recipe(config: dict[str, Any], expected: dict[str, Any]) -> None:
    found = preprocessing_of(config)
    assert found.pop("mean_values") == pytest.approx(expected.pop("mean_values"))
    assert found.pop("scale_values") == pytest.approx(expected.pop("scale_values"))
    assert found == expected
