from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.http.readiness import Readiness
from tests.installation import RECIPE, Installation, installation, settings_in
from tests.waiting import until
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


def test_figures_are_those_of_the_store(fresh: Installation) -> None:
    store = fresh.store
    store.assets.add(AssetKind.MODEL, "a" * 64, "m", 1, "me", lambda: None)
    for _ in range(2):
        job = store.jobs.submit(Request(Kind.COMPRESS, "a" * 64, RECIPE), "me")[0]
        store.leases.claim(job.id, "w", 30)
        store.leases.fail(job.id, 1, Failure("OUT_OF_MEMORY", "m", "h"), {Stage.IMPORT: 0.5, Stage.COMPRESS: 2.0})
    store.workers.seen("w", {}, {})
    with fresh.http() as http:
        found = samples(http)
    assert found["fractune_jobs", "compress", "FAILED"] == 2
    assert found["fractune_jobs", "inspect", "QUEUED"] == 1
    assert found["fractune_failed_jobs", "OUT_OF_MEMORY"] == 2
    assert (found["fractune_stage_seconds_count", "compress"], found["fractune_stage_seconds_sum", "compress"]) == (2, 4.0)
    assert found["fractune_worker_silent_seconds", "w"] < 5
    assert found["fractune_queue_messages",] == 0


def test_requests_are_timed_by_route(fresh: Installation) -> None:
    with fresh.http() as http:
        http.get("/v1/jobs/" + "0" * 32)
        http.get("/v1/jobs/" + "1" * 32)
        found = samples(http)
    assert found["fractune_http_request_seconds_count", "GET", "/v1/jobs/{job_id}", "404"] == 2


def test_it_is_ready_only_when_every_part_is(fresh: Installation) -> None:
    with fresh.http(None) as http:
        assert http.get("/healthz").status_code == 200
        response = http.get("/readyz")
        assert response.status_code == 503
        checks = response.json()["checks"]
        assert (checks["store"], checks["broker"], checks["disk"]) == ("ok", "ok", "ok")
        assert "heard" in checks["workers"]
        fresh.store.workers.seen("w", {}, {})
        assert http.get("/readyz").json() == {"status": "ok", "checks": dict.fromkeys(checks, "ok")}
        until(lambda: http.get("/readyz").status_code == 503)  # after ten heartbeats


def test_it_is_not_ready_without_broker_or_disk() -> None:
    with installation(min_free_bytes=1 << 60) as service, service.http(None) as http:
        (service.settings.data_dir / "broker.sock").unlink()
        checks = http.get("/readyz").json()["checks"]
    assert "No such file" in checks["broker"]
    assert "bytes are free" in checks["disk"]


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
