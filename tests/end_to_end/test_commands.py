"""The commands that talk to a service, against a real one whose jobs are done by tests/stand_in.py."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.embedded import ROOT, Service, running_service
from tests.waiting import PATIENCE_S, until

STAND_IN = json.dumps([sys.executable, str(ROOT / "tests" / "stand_in.py")])
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(FRACTUNE_CHILD_COMMAND=STAND_IN) as running:
        yield running


@pytest.fixture
def fractune(service: Service, tmp_path: Path) -> Run:
    """Runs a command beside the service, in an empty folder."""

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(service.data_dir), "COLUMNS": "200", **variables}
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE_S
        )

    return run


def acting(folder: Path, act: str) -> None:
    """A model for the stand-in: it says what is to be done with it."""
    (folder / "model.onnx").write_text(f"<net>{json.dumps({'compress': act})}</net>")


@pytest.fixture
def model(tmp_path: Path) -> str:
    acting(tmp_path, "succeed")
    return "model.onnx"


def test_submit_wait_report_download(fractune: Run, model: str, tmp_path: Path) -> None:
    queued = fractune("submit", model, "--prune", "0.5")
    job = queued.stdout.strip()
    assert len(job) == 32
    assert queued.stderr.startswith(f"Job {job[:8]}  http://127.0.0.1")
    assert f"/ui/jobs/{job}" in queued.stderr
    done = fractune("submit", model, "--prune", "0.5", "--wait", "--quiet")
    assert done.returncode == 4, done.stderr  # the stand-in's constraint is unverified
    assert f"\n{job[:8]}  SUCCEEDED" in fractune("jobs").stdout
    listed = json.loads(fractune("jobs", "--json").stdout)
    assert listed[1]["id"] == job
    assert json.loads(fractune("job", job[:10], "--json").stdout)["name"] == "model · prune 50 %"
    assert json.loads(fractune("report", job[:10], "--json").stdout)["sparsity"] == 0.5
    shown = fractune("job", job[:10]).stdout
    assert f"/ui/jobs/{job}" in shown
    assert "SUCCEEDED" in shown
    assert fractune("download", job, "--out", "results").returncode == 0
    assert (tmp_path / "results" / "1" / "model.bin").stat().st_size == 4000
    assert (tmp_path / "results" / "report.html").exists()
    assert "at work on compress" in fractune("job", job, "--log").stdout


def test_a_failure_of_the_job_is_the_commands_own(fractune: Run, tmp_path: Path) -> None:
    acting(tmp_path, "crash")
    done = fractune("submit", "model.onnx", "--prune", "0.5", "--wait")
    assert done.returncode == 1
    assert "CRASHED" in done.stderr
    acting(tmp_path, "refuse")
    assert fractune("submit", "model.onnx", "--prune", "0.5", "--wait").returncode == 2


def test_what_is_no_model_is_refused_before_a_job_is_made(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Buy milk.")
    before = fractune("jobs", "--json").stdout
    done = fractune("submit", "note.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "UNSUPPORTED_FORMAT This is a text file." in done.stderr
    assert fractune("jobs", "--json").stdout == before


def test_a_job_is_canceled_and_tried_again(fractune: Run, tmp_path: Path) -> None:
    acting(tmp_path, "hang")
    job = fractune("submit", "model.onnx", "--prune", "0.5").stdout.strip()
    assert fractune("cancel", job).stdout.strip() in ("CANCELED", "CANCELING")
    until(lambda: json.loads(fractune("job", job, "--json").stdout)["state"] == "CANCELED")
    again = fractune("retry", job[:10]).stdout.strip()
    assert json.loads(fractune("job", again, "--json").stdout)["retry_of"] == job
    fractune("cancel", again)


def test_folders_travel_as_zips(fractune: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.png").write_bytes(b"png")
    job = fractune("submit", model, "--prune", "0.5", "--data", "images").stdout.strip()
    first = json.loads(fractune("job", job, "--json").stdout)["dataset"]
    (tmp_path / "images" / "one.png").touch()  # another date, the same content
    job = fractune("submit", model, "--prune", "0.5", "--data", "images").stdout.strip()
    assert json.loads(fractune("job", job, "--json").stdout)["dataset"] == first


def test_a_job_that_does_not_exist(fractune: Run) -> None:
    done = fractune("report", "0" * 32)
    assert done.returncode == 1
    assert "NOT_FOUND" in done.stderr


def test_letters_that_no_job_begins_with(fractune: Run) -> None:
    done = fractune("job", "0" * 8)
    assert done.returncode == 1
    assert "NOT_FOUND There is no job whose id begins with '00000000'" in done.stderr


def test_ctrl_c_ends_the_waiting_and_not_the_job(fractune: Run, service: Service, tmp_path: Path) -> None:
    acting(tmp_path, "hang")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FRACTUNE_DATA_DIR": str(service.data_dir)}
    command = [sys.executable, "-m", "service", "submit", "model.onnx", "--prune", "0.5", "--wait"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        job = waiting.stderr.readline().strip().rpartition("/")[2]
        until(lambda: json.loads(fractune("job", job, "--json").stdout)["state"] == "RUNNING")
        waiting.send_signal(signal.SIGINT)
        assert "The job goes on." in waiting.stderr.read()
        assert waiting.wait(PATIENCE_S) == 130
    assert fractune("cancel", job).stdout.strip() == "CANCELING"


def test_a_wrong_key_is_told(fractune: Run) -> None:
    done = fractune("jobs", FRACTUNE_API_KEY="fr_wrong_key")
    assert done.returncode == 1
    assert "UNAUTHENTICATED" in done.stderr


def test_a_service_that_is_not_there_is_told(fractune: Run) -> None:
    done = fractune("jobs", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_local_key_is_not_sent_elsewhere(fractune: Run, service: Service) -> None:
    elsewhere = service.url.replace("127.0.0.1", "localhost")
    assert "UNAUTHENTICATED" in fractune("jobs", "--url", elsewhere).stderr
    assert fractune("jobs", "--url", service.url).returncode == 0
