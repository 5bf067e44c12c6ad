"""From an upload to the results: HTTP, queue, worker process and child."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from service.client import Client, files_of_point
from tests.installation import RECIPE, Installation, installation
from tests.proxy import proxy
from tests.waiting import PATIENCE_S, until
from workers.errors import ChecksumMismatch, Conflict, InvalidRecipe, InvalidRequest, NotFound, TimedOut, Unauthenticated
from workers.jobs.records import Role


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation() as service, service.worker():
        yield service


@pytest.fixture
def client(service: Installation) -> Iterator[Client]:
    with Client(service.url, service.keys[Role.OPERATOR], patience_s=PATIENCE_S) as client:
        yield client


def write_model(path: Path, **acts: str) -> Path:
    path.write_text(json.dumps(acts | {"padding": path.as_posix()}))
    return path


@pytest.fixture
def model(client: Client, tmp_path: Path) -> str:
    return client.upload_model(write_model(tmp_path / "net.onnx"))


def test_a_model_becomes_a_compressed_model(client: Client, model: str, tmp_path: Path) -> None:
    events: list[dict[str, object]] = []
    job = client.submit(model, RECIPE, name="first", labels={"team": "vision"})
    job = client.wait(job["id"], timeout_s=PATIENCE_S, on_event=events.append)
    assert (job["state"], job["summary"]["sparsity"], job["constraint"]["met"]) == ("SUCCEEDED", 0.5, "unverified")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert client.report(job["id"])["sparsity"] == 0.5
    client.download(job["id"], "model.zip", tmp_path / "model.zip")
    with ZipFile(tmp_path / "model.zip") as archive:
        assert archive.namelist() == ["1/model.xml", "1/model.bin"]
    assert "at work on compress" in client.log(job["id"])


def test_the_files_of_a_point_are_those_of_a_model() -> None:
    names = ["1/model.xml", "points/0.7/1/model.xml", "points/0.7/1/model.bin", "points/0.75/1/model.xml", "report.json"]
    assert files_of_point(names, "0.7") == [(f"points/0.7/1/{file}", f"1/{file}") for file in ("model.xml", "model.bin")]
    with pytest.raises(NotFound, match="no point '0.8'") as refused:
        files_of_point(names, "0.8")
    assert refused.value.hint == "It has 0.7, 0.75."


def test_a_point_is_not_to_be_had_of_a_job_without_a_front(client: Client, model: str, tmp_path: Path) -> None:
    job = client.wait(client.submit(model, RECIPE)["id"], timeout_s=PATIENCE_S)
    with pytest.raises(NotFound, match="no point") as refused:
        client.download_all(job["id"], tmp_path / "point", point="0.5")
    assert refused.value.hint == "It made no front."
    assert not (tmp_path / "point").exists()


def test_an_upload_is_inspected_by_itself(client: Client, model: str) -> None:
    client.wait(client.model(model)["job_id"], timeout_s=PATIENCE_S)
    assert client.model(model)["inspection"]["parameters"] == 1000


def test_a_recipe_is_validated_without_a_job(client: Client, model: str) -> None:
    client.wait(client.model(model)["job_id"], timeout_s=PATIENCE_S)
    before = [job["id"] for job in client.jobs()]
    forecast = client.validate(model, {**RECIPE, "ignored_scope": {"names": ["conf1"]}})
    assert [layer["name"] for layer in forecast["layers"]] == ["conv1"]
    assert forecast["zip_bytes"] < forecast["compressed_bytes"]
    assert "did you mean 'conv1'?" in forecast["unmatched"][0]
    assert [job["id"] for job in client.jobs()] == before


def test_a_model_that_was_refused_takes_no_jobs(client: Client, tmp_path: Path) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "bad.onnx", inspect="refuse"))
    client.wait(client.model(sha256)["job_id"], timeout_s=PATIENCE_S)
    assert client.model(sha256)["failure"]["code"] == "MODEL_UNREADABLE"
    with pytest.raises(InvalidRequest, match="It is not a model"):
        client.submit(sha256, RECIPE)
    with pytest.raises(InvalidRequest, match="It is not a model"):
        client.validate(sha256, RECIPE)


@pytest.mark.parametrize(("act", "state", "code"), [("crash", "FAILED", "CRASHED"), ("refuse", "FAILED", "MODEL_UNREADABLE")])
def test_waiting_ends_with_whatever_end_there_is(client: Client, tmp_path: Path, act: str, state: str, code: str) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "net.onnx", compress=act))
    job = client.wait(client.submit(sha256, RECIPE)["id"], timeout_s=PATIENCE_S)
    assert (job["state"], job["failure"]["code"]) == (state, code)
    with pytest.raises(NotFound, match="has no results"):
        client.download_all(job["id"], tmp_path / "results")
    assert not (tmp_path / "results").exists()
    with pytest.raises(NotFound, match="FAILED"):
        client.report(job["id"])


def test_a_running_job_is_canceled(client: Client, tmp_path: Path) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "net.onnx", compress="hang"))
    job = client.submit(sha256, RECIPE)
    for event in client.events(job["id"]):
        if event["type"] == "layer":
            with pytest.raises(Conflict):
                client.retry(job["id"])
            client.cancel(job["id"])
    assert client.job(job["id"])["state"] == "CANCELED"


def test_events_go_on_where_a_quiet_stream_is_cut(client: Client, service: Installation, tmp_path: Path) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "net.onnx", compress="hang"))
    job = client.submit(sha256, RECIPE)
    until(lambda: client.job(job["id"])["state"] == "RUNNING")
    port = int(service.url.rpartition(":")[2])
    with proxy([port], "/cut", idle_s=0.3) as url, Client(url, service.keys[Role.OPERATOR], patience_s=PATIENCE_S) as remote:
        canceler = threading.Timer(2.0, client.cancel, [job["id"]])
        canceler.start()
        states = [event["data"]["state"] for event in remote.events(job["id"]) if event["type"] == "state"]
        canceler.join()
    assert states[-1] == "CANCELED"


def test_events_stream_live_and_resume(client: Client, service: Installation, model: str) -> None:
    job = client.wait(client.submit(model, RECIPE)["id"], timeout_s=PATIENCE_S)
    seen = [event["seq"] for event in client.events(job["id"])]
    assert seen == list(range(1, job["last_event"] + 1))
    with service.http() as http:
        rest = http.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": str(job["last_event"] - 1)})
    assert rest.headers["content-type"].startswith("text/event-stream")
    assert [line for line in rest.text.splitlines() if line.startswith("id:")] == [f"id: {job['last_event']}"]


@pytest.mark.parametrize("begins", ["", "no such job", "0" * 33, "G" * 4])
def test_what_no_id_begins_with_is_no_job(client: Client, begins: str) -> None:
    with pytest.raises(NotFound, match="There is no job whose id begins with"):
        client.find_job(begins)


def test_a_retry_is_a_new_job(client: Client, tmp_path: Path) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "net.onnx", compress="crash"))
    job = client.wait(client.submit(sha256, RECIPE)["id"], timeout_s=PATIENCE_S)
    again = client.retry(job["id"])
    assert (again["retry_of"], again["recipe"]) == (job["id"], job["recipe"])
    assert client.wait(again["id"], timeout_s=PATIENCE_S)["state"] == "FAILED"


def test_waiting_has_a_limit(client: Client, tmp_path: Path) -> None:
    sha256 = client.upload_model(write_model(tmp_path / "net.onnx", compress="hang"))
    job = client.submit(sha256, RECIPE)
    with pytest.raises(TimedOut):
        client.wait(job["id"], timeout_s=0.1)
    client.cancel(job["id"])


def test_a_damaged_download_is_not_kept(client: Client, service: Installation, model: str, tmp_path: Path) -> None:
    job = client.wait(client.submit(model, RECIPE)["id"], timeout_s=PATIENCE_S)
    stored = service.settings.data_dir / "jobs" / job["id"] / "1" / "out" / "report.html"
    stored.write_text("something else")
    with pytest.raises(ChecksumMismatch):
        client.download(job["id"], "report.html", tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_a_wrong_knob_is_named(client: Client, model: str) -> None:
    with pytest.raises(InvalidRecipe) as caught:
        client.submit(model, {"steps": [{"method": "layerwise_pruning", "sparsity_level": 1.5}]})
    assert [fault["pointer"] for fault in caught.value.details["errors"]] == ["/recipe/steps/0/sparsity_level"]


def test_without_a_key_nothing_is_told(service: Installation) -> None:
    with Client(service.url, "fr_0123456789ab_wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.job("0" * 32)
