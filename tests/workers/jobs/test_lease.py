"""A worker's hold on a job ends when it is not renewed, whatever the reason."""

import threading
from collections.abc import Callable

import pytest

from workers.jobs.job import Kind
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.records import AssetKind, Job, Request
from workers.jobs.store import Store

LEASE_S, HEARTBEAT_S, PATIENCE_S = 30.0, 0.01, 30.0


@pytest.fixture
def job(store: Store) -> Job:
    store.assets.add(AssetKind.MODEL, "a" * 64, "model.onnx", 10, "me", lambda: None)
    job = store.jobs.submit(Request(Kind.COMPRESS, "a" * 64, {"steps": []}), "me")[0]
    claimed = store.leases.claim(job.id, "w", LEASE_S)
    assert claimed is not None
    return claimed


def eventually(condition: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(condition() or pause.wait(0.01) for _ in range(round(PATIENCE_S / 0.01)))


def test_a_lease_is_kept_while_the_work_goes_on(store: Store, job: Job) -> None:
    with Lease(store.leases, job.id, job.attempt, LEASE_S, HEARTBEAT_S) as lease:
        assert not lease.should_stop()
        assert lease.persist(lambda: "written") == "written"


def test_a_job_that_another_attempt_has_is_lost(store: Store, job: Job) -> None:
    with Lease(store.leases, job.id, job.attempt + 1, LEASE_S, HEARTBEAT_S) as lease:
        assert eventually(lambda: lease.lost)
        with pytest.raises(LeaseLost):
            lease.persist(lambda: "written")


def test_a_lease_whose_renewal_breaks_is_lost(store: Store, job: Job) -> None:
    """By an error that nobody has thought of: here a number that no database takes, in place of what it is."""
    with Lease(store.leases, job.id, 2**70, LEASE_S, HEARTBEAT_S) as lease:
        assert eventually(lambda: lease.lost)
        assert lease.should_stop()
