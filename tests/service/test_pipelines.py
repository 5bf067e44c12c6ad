"""The script that every example of a pipeline calls, against a service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import RECIPE, ROOT, Installation, installation
from tests.servers import need
from tests.waiting import PATIENCE_S
from workers.jobs.records import Role

SCRIPT = ROOT / "examples" / "pipelines" / "compress.sh"


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    need("PIPELINES ARE", "curl", "jq")
    with installation() as service, service.worker():
        yield service


def run(service: Installation, folder: Path, act: str, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "my net.onnx").write_text(json.dumps({"compress": act}))
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    variables = {"FRACTUNE_URL": service.url, "FRACTUNE_API_KEY": service.keys[Role.OPERATOR]} | more
    command = [str(SCRIPT), "my net.onnx", "recipe.json", "result"]
    return subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE_S)


def test_a_model_becomes_a_result_folder(service: Installation, tmp_path: Path) -> None:
    done = run(service, tmp_path, "succeed")
    assert (done.returncode, done.stderr) == (4, ""), "the stand-in says that its constraint is unverified"
    assert json.loads(done.stdout)["sparsity"] == 0.5
    assert (tmp_path / "result/1/model.bin").stat().st_size == 4000
    assert {"report.html", "report.json", "job.json"} <= {path.name for path in (tmp_path / "result").iterdir()}


def test_a_step_that_is_repeated_finds_its_job(service: Installation, tmp_path: Path) -> None:
    jobs = []
    for _ in range(2):
        run(service, tmp_path, "succeed", FRACTUNE_RUN="run-7")
        jobs.append(json.loads((tmp_path / "result/job.json").read_text())["id"])
    assert jobs[0] == jobs[1]


def test_a_job_that_fails_says_why(service: Installation, tmp_path: Path) -> None:
    done = run(service, tmp_path, "crash")
    assert done.returncode == 1
    assert json.loads(done.stderr)["failure"]["code"]


def test_a_wrong_key_ends_it_and_is_not_shown(service: Installation, tmp_path: Path) -> None:
    done = run(service, tmp_path, "succeed", FRACTUNE_API_KEY="fr_0_wrong")
    assert done.returncode == 1
    assert "401" in done.stderr
    assert "fr_0_wrong" not in done.stdout + done.stderr


def test_a_registered_model_gets_a_version(service: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="THE MLFLOW EXAMPLE IS NOT TESTED: pip install mlflow")
    monkeypatch.chdir(tmp_path)  # a new registry keeps artifacts where it was made
    registry = f"sqlite:///{tmp_path}/mlflow.db"
    variables = {"FRACTUNE_URL": service.url, "FRACTUNE_API_KEY": service.keys[Role.OPERATOR], "MLFLOW_TRACKING_URI": registry}
    (tmp_path / "net.onnx").write_text(json.dumps({"compress": "succeed"}))
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    client = mlflow.MlflowClient(registry)
    run = client.create_run(client.create_experiment("nets", artifact_location=str(tmp_path / "artifacts")))
    client.log_artifact(run.info.run_id, str(tmp_path / "net.onnx"), "model")
    client.create_registered_model("net")
    client.create_model_version("net", f"{run.info.artifact_uri}/model", run.info.run_id)
    command = [sys.executable, str(ROOT / "examples" / "pipelines" / "mlflow_registry.py"), "net", "1", "recipe.json"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (0, "net version 2\n"), done.stderr
    made = client.get_model_version("net", "2")
    assert made.tags["fractune.source_version"] == "1"
    assert float(made.tags["fractune.sparsity"]) == 0.5
    assert {"recipe.json", "openvino"} == {file.path for file in client.list_artifacts(made.run_id)}
