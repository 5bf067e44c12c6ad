"""Searching, verifying, planning and comparing with the real commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MODEL, DIGITS = str(EXAMPLES / "digits.onnx"), str(EXAMPLES / "digits.npz")
RECIPE = json.loads((EXAMPLES / "recipe.json").read_text()) | {
    "calibration": {"count": 32, "inversion_steps": 0},
    "benchmark": None,
}
SEARCH = RECIPE | {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.6, "allocation": "optimal"}],
    "constraint": {"metric": "accuracy", "max_drop": 0.05},
    "search": {"resolution": 0.25},
    "pareto": {"points": 2},
}


INT8 = RECIPE | {
    "steps": [{"method": "int8"}],
    "constraint": {"metric": "kl_divergence", "max_drop": 0.0005},
    "search": {"objective": "size"},
}


def fractune(workdir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(workdir / "data")}
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, env=environment, cwd=workdir, capture_output=True, text=True, timeout=PATIENCE_S)


def optimize(workdir: Path, recipe: dict[str, Any], *arguments: str) -> "subprocess.CompletedProcess[str]":
    (workdir / "recipe.json").write_text(json.dumps(recipe))
    return fractune(workdir, "optimize", MODEL, "--recipe", "recipe.json", "--out", "out", "--threads", "1", *arguments)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a search with a front."""
    workdir = tmp_path_factory.mktemp("search")
    done = optimize(workdir, SEARCH, "--eval", DIGITS)
    assert done.returncode == 0, done.stderr
    return workdir


def test_int8_is_searched_by_taking_back_what_harms_most_for_its_bytes(tmp_path: Path) -> None:
    done = optimize(tmp_path, INT8, "--eval", DIGITS)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    explored, (step,) = report["exploration"], report["recipe"]["steps"]
    chosen = next(row for row in explored["candidates"] if row["chosen"])
    assert report["constraint"]["met"] is True
    assert 0 < chosen["setting"] == len(step["reverted"])
    assert step["reverted"] == [each["name"] for each in explored["order"]][: len(step["reverted"])]
    whole = explored["candidates"][-1]
    assert whole["setting"] == 0
    assert whole["verdict"]["met"] is not True, "int8 everywhere, which is judged first, has lost too much"
    assert {whole["verdict"]["confidence"], chosen["verdict"]["confidence"]} == {0.975}, "two chances share the error of one"
    assert whole["compressed_bytes"] < chosen["compressed_bytes"]
    assert set(step["reverted"]) >= {layer["name"] for layer in report["skipped"] if "taken back" in layer["reason"]}
    assert all(layer["relative_error"] > 0 for layer in report["layers"])


def test_int8_that_keeps_the_limit_with_room_to_spare_is_not_weighed(tmp_path: Path) -> None:
    done = optimize(tmp_path, INT8 | {"constraint": {"max_drop": 0.2}}, "--eval", DIGITS)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    (only,) = report["exploration"]["candidates"]
    assert (only["setting"], only["chosen"], report["constraint"]["met"]) == (0, True, True)
    assert only["n"] == report["constraint"]["n"], "those that judge have told, none has selected"
    assert report["exploration"]["order"] == []
    assert report["recipe"]["steps"][0].get("reverted", []) == []
    assert all(layer["relative_error"] > 0 for layer in report["layers"])


def test_a_search_finds_the_hardest_setting_that_is_verified(searched: Path) -> None:
    report = json.loads((searched / "out/report.json").read_text())
    explored = report["exploration"]
    chosen = next(row for row in explored["candidates"] if row["chosen"])
    assert report["constraint"]["met"] is chosen["verdict"]["met"] is True
    assert report["sparsity"] == pytest.approx(chosen["setting"], abs=0.01)
    harder = [row for row in explored["candidates"] if row["setting"] > chosen["setting"]]
    assert harder, "something harder was tried"
    assert all(row["expected_bound"] > 0.05 or row["verdict"] for row in harder)
    assert (explored["selecting"], explored["judging"]) == (300, 300)
    for row in explored["candidates"]:
        if row["folder"]:
            xml = searched / "out" / row["folder"] / "1/model.xml"
            assert xml.stat().st_size + xml.with_suffix(".bin").stat().st_size == row["compressed_bytes"]
    assert not (searched / "out/candidates").exists()


def test_a_result_is_made_again_byte_for_byte(searched: Path) -> None:
    done = fractune(searched, "verify", "out", "--model", MODEL, "--threads", "1", "--quiet")
    assert (done.returncode, done.stdout.count("identical")) == (0, 2), done.stderr
    other = fractune(searched, "verify", "out", "--model", DIGITS)
    assert other.returncode == 2
    words = " ".join(other.stderr.replace("\u2502", " ").split())  # out of the box that the message is wrapped in
    assert "is not the model of the result" in words


def test_results_stand_side_by_side(searched: Path) -> None:
    done = fractune(searched, "compare", "out", "out/report.json", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert "zero weights" in done.stdout
    assert "2 results side by side" in (searched / "page.html").read_text()


def test_a_plan_comes_near_the_result(searched: Path) -> None:
    report = json.loads((searched / "out/report.json").read_text())
    done = fractune(searched, "plan", MODEL, "--prune", str(report["sparsity"]), "--json")
    plan = json.loads(done.stdout)
    assert len(plan["layers"]) == len(report["layers"]) + len(report["skipped"]), "those without zeros are left as they are"
    assert plan["compressed_bytes"] == pytest.approx(report["size"]["compressed_bytes"], rel=0.35)


def test_a_harmful_run_says_not_met(tmp_path: Path) -> None:
    harmful = RECIPE | {
        "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.97}],
        "constraint": {"metric": "accuracy", "max_drop": 0.01},
    }
    done = optimize(tmp_path, harmful, "--eval", DIGITS)
    assert done.returncode == 3, done.stderr
    assert json.loads((tmp_path / "out/report.json").read_text())["constraint"]["met"] is False
    assert "NOT MET" in done.stdout


def test_fractals_alone_verify_nothing(tmp_path: Path) -> None:
    done = optimize(tmp_path, RECIPE | {"constraint": {"metric": "agreement", "max_drop": 0.5}})
    assert done.returncode == 4, done.stderr
    assert json.loads((tmp_path / "out/report.json").read_text())["constraint"]["met"] == "unverified"
    assert "unverified" in done.stdout
