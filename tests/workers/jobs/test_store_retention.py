"""What goes, what stays, and what is forgotten, on SQLite and on PostgreSQL."""

import time
from pathlib import Path

import pytest

from workers.errors import Conflict, NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.job import Kind
from workers.jobs.records import AssetKind, Job, Request
from workers.jobs.retention import remove_old
from workers.jobs.store import Store


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path)


def upload(store: Store, artifacts: Artifacts, data: bytes) -> str:
    with artifacts.incoming(1000, 0) as incoming:
        incoming.write(data)
        sha256 = incoming.finish()
    place = lambda: artifacts.place(incoming.path, AssetKind.MODEL, sha256, "m.onnx")  # noqa: E731
    store.assets.add(AssetKind.MODEL, sha256, "m.onnx", incoming.size, "me", place)
    return sha256


def ended(store: Store, artifacts: Artifacts, model: str) -> Job:
    job = store.jobs.submit(Request(Kind.COMPRESS, model, {"steps": []}), "me", "key")[0]
    artifacts.workdir(job.id, 1)
    return store.jobs.cancel(job.id, 30)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_retention_everything_stays(store: Store, artifacts: Artifacts, tmp_path: Path) -> None:
    job = ended(store, artifacts, upload(store, artifacts, b"m"))
    time.sleep(0.02)
    remove_old(store, artifacts, None)
    assert store.jobs.get(job.id) == job
    assert names(tmp_path / "jobs") == {job.id}


def test_old_jobs_and_unused_uploads_go_with_their_files(store: Store, artifacts: Artifacts, tmp_path: Path) -> None:
    model = upload(store, artifacts, b"m")
    inspection = store.assets.get(AssetKind.MODEL, model).job_id
    assert inspection is not None
    store.jobs.cancel(inspection, 30)
    job = ended(store, artifacts, model)
    store.audit.note("me", "", "POST /v1/jobs", "/v1/jobs", 202)
    time.sleep(0.02)
    remove_old(store, artifacts, 0.01)
    with pytest.raises(NotFound):
        store.jobs.get(job.id)
    with pytest.raises(NotFound):
        store.assets.get(AssetKind.MODEL, model)
    assert store.jobs.events(job.id) == []
    assert store.audit.page() == []
    assert names(tmp_path / "jobs") | names(tmp_path / "models") == set()


def test_what_is_waited_for_and_what_it_needs_stays(store: Store, artifacts: Artifacts) -> None:
    model = upload(store, artifacts, b"m")
    waiting = store.jobs.submit(Request(Kind.COMPRESS, model, {"steps": []}), "me")[0]
    time.sleep(0.02)
    remove_old(store, artifacts, 0.01)
    assert store.jobs.get(waiting.id) == waiting
    assert artifacts.path(AssetKind.MODEL, model).read_bytes() == b"m"
    with pytest.raises(Conflict):
        store.retention.remove_job(waiting.id, lambda: None)


def test_the_inspection_of_a_model_stays_as_long_as_the_model(store: Store, artifacts: Artifacts) -> None:
    model = upload(store, artifacts, b"m")
    inspection = store.assets.get(AssetKind.MODEL, model).job_id
    assert inspection is not None
    store.jobs.cancel(inspection, 30)
    time.sleep(0.02)
    assert store.retention.ended_jobs(0.01, 10) == []


def test_two_sweepers_do_not_trip_over_each_other(store: Store, artifacts: Artifacts) -> None:
    job = ended(store, artifacts, upload(store, artifacts, b"m"))
    store.retention.remove_job(job.id, lambda: None)
    with pytest.raises(NotFound):
        store.retention.remove_job(job.id, lambda: None)
    remove_old(store, artifacts, 0.0)


def test_an_upload_left_for_a_day_is_given_up(store: Store, artifacts: Artifacts, tmp_path: Path) -> None:
    upload_id = store.assets.announce(AssetKind.MODEL, "b" * 64, "m", 10, "me").id
    with artifacts.incoming(10, 0, upload_id) as incoming:
        incoming.write(b"half")
    remove_old(store, artifacts, None)
    assert store.assets.announced(upload_id).size == 10
    assert store.assets.stored_bytes("me") == 10
    assert store.retention.abandoned_uploads(0.0) == [upload_id]
    artifacts.discard_incoming(-1)
    assert names(tmp_path / "incoming") == set()


def test_idempotency_keys_are_forgotten(store: Store, artifacts: Artifacts) -> None:
    model = upload(store, artifacts, b"m")
    request = Request(Kind.COMPRESS, model, {"steps": []})
    first, _ = store.jobs.submit(request, "me", "key")
    assert store.jobs.submit(request, "me", "key") == (first, False)
    store.retention.forget_keys(-1.0)
    assert store.jobs.submit(request, "me", "key")[1]
