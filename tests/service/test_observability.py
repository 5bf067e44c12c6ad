import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from service.http.readiness import Readiness
from tests.installation import RECIPE, Installation, installation, settings_in
from tests.waiting import until
from workers.errors import Unavailable
from workers.jobs.job import Failure, Kind, Stage
from workers.jobs.records import AssetKind, Request
from workers.jobs.store import Store


@pytest.fixture
def fresh() -> Iterator[Installation]:
    with installation() as service:
        yield service


def samples(http: httpx.Client) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(http.get("/metrics").text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


@pytest.fixture
def patient() -> Iterator[Installation]:
    """Takes no message for lost, however long the test takes."""
    with installation(requeue_s=3600.0) as service:
        yield service


def test_figures_are_those_of_the_store(patient: Installation) -> None:
    store = patient.store
    store.assets.add(AssetKind.MODEL, "a" * 64, "m", 1, "me", lambda: None)
    for _ in range(2):
        job = store.jobs.submit(Request(Kind.COMPRESS, "a" * 64, RECIPE), "me")[0]
        store.leases.claim(job.id, "w", 30)
        store.leases.fail(job.id, 1, Failure("OUT_OF_MEMORY", "m", "h"), {Stage.IMPORT: 0.5, Stage.COMPRESS: 2.0})
    store.workers.seen("w", {}, {})
    with patient.http() as http:
        found = samples(http)
    assert found["fractune_jobs", "compress", "FAILED"] == 2
    assert found["fractune_jobs", "inspect", "QUEUED"] == 1
    assert found["fractune_failed_jobs", "OUT_OF_MEMORY"] == 2
    assert (found["fractune_stage_seconds_count", "compress"], found["fractune_stage_seconds_sum", "compress"]) == (2, 4.0)
    assert found["fractune_worker_silent_seconds", "w"] < 5
    assert found["fractune_queue_messages",] == 0


def test_messages_are_counted_in_the_queues_of_all_classes(patient: Installation) -> None:
    with patient.http() as http:
        model = http.post("/v1/models", content=b"x").json()["sha256"]
        for runs_on in (None, "gpu=no", "isa=avx2"):
            assert http.post("/v1/jobs", json={"model": model, "recipe": RECIPE, "runs_on": runs_on}).status_code == 202
        assert samples(http)["fractune_queue_messages",] == 4  # with the inspection


def test_messages_are_those_that_wait_after_restarts_of_the_broker_and_the_api(fresh: Installation) -> None:
    with fresh.http() as http:
        model = http.post("/v1/models", content=b"x").json()["sha256"]
        for _ in range(2):
            http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}).raise_for_status()
        with closing(redis.Redis(unix_socket_path=str(fresh.settings.data_dir / "broker.sock"))) as broker:
            broker.flushall()
        until(lambda: samples(http)["fractune_queue_messages",] == 3)  # with the inspection
    with fresh.api(), fresh.http() as http:
        assert samples(http)["fractune_queue_messages",] == 3


@pytest.mark.parametrize(("part", "file"), [("store", "fractune.db"), ("broker", "broker.sock")])
def test_a_file_of_the_service_that_was_removed_is_told(fresh: Installation, part: str, file: str) -> None:
    with fresh.http() as http:
        assert http.get("/readyz").json()["checks"][part] == "ok"
        (fresh.settings.data_dir / file).unlink()
        until(lambda: http.get("/readyz").json()["checks"][part] != "ok")
        assert http.get("/readyz").status_code == 503


def test_requests_are_timed_by_route(fresh: Installation) -> None:
    with fresh.http() as http:
        http.get("/v1/jobs/" + "0" * 32)
        http.get("/v1/jobs/" + "1" * 32)
        found = samples(http)
    assert found["fractune_http_request_seconds_count", "GET", "/v1/jobs/{job_id}", "404"] == 2


def test_it_is_ready_only_when_every_part_is(fresh: Installation) -> None:
    with fresh.http(None) as http:
        assert http.get("/healthz").status_code == 200
        checks = http.get("/readyz").json()["checks"]
        assert "heard" in checks["workers"]
        assert http.get("/readyz").status_code == 503
        expected = {"status": "ok", "checks": dict.fromkeys(checks, "ok"), "absent_layers": {"w": ["files"]}}

        def ready() -> bool:  # an answer is kept for a second
            fresh.store.workers.seen("w", {"missing_layers": ["files"]}, {})
            return bool(http.get("/readyz").json() == expected)

        until(ready)
        until(lambda: http.get("/readyz").status_code == 503)  # after ten heartbeats


def test_it_is_not_ready_without_broker_or_disk() -> None:
    with installation(min_free_bytes=1 << 60) as service, service.http(None) as http:
        (service.settings.data_dir / "broker.sock").unlink()
        until(lambda: "No such file" in http.get("/readyz").json()["checks"]["broker"])
        assert "bytes are free" in http.get("/readyz").json()["checks"]["disk"]


def test_it_is_not_ready_without_its_store(tmp_path: Path) -> None:
    (tmp_path / "fractune.db").write_bytes(b"no database at all" * 1000)
    with closing(Store(settings_in(tmp_path).database)) as store:
        checks = Readiness(settings_in(tmp_path), store, lambda: 0, lambda: None)()
    assert "file is not a database" in checks["store"]


def test_metrics_leave_out_what_is_down(fresh: Installation) -> None:
    (fresh.settings.data_dir / "broker.sock").unlink()
    with fresh.http() as http:
        found = samples(http)
        assert ("fractune_queue_messages",) not in found
    assert ("fractune_stage_seconds_count", "compress") in found


def test_a_broker_that_hangs_is_not_waited_for(fresh: Installation) -> None:
    """It takes connections and says nothing; what its protocol would wait for is longer than the client waits."""
    path = fresh.settings.data_dir / "broker.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as mute, fresh.http() as http:
        mute.bind(str(path))
        mute.listen(100)
        for _ in range(3):
            response = http.post("/v1/models?name=m.onnx", content=os.urandom(16), timeout=15)
            assert response.status_code == 201
            assert http.get("/readyz").json()["checks"]["broker"] != "ok"


def test_a_store_whose_file_is_gone_is_not_ready(tmp_path: Path) -> None:
    with closing(Store(settings_in(tmp_path).database)) as store:
        store.migrate()
        store.health.check_writing()
        for file in tmp_path.glob("fractune.db*"):
            file.unlink()
        with pytest.raises(Unavailable, match="gone"):
            store.health.check_writing()


def test_a_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    with closing(Store(settings_in(tmp_path).database)) as store:
        store.migrate()
        store.health.check_writing()
        store.health.check_clock()
        with closing(sqlite3.connect(tmp_path / "fractune.db")) as connection, connection:
            connection.execute("UPDATE clock SET seen_at = seen_at + 3600")
        store.health.check_writing()
        with pytest.raises(Unavailable, match="went back by 3[56]"):
            store.health.check_clock()
