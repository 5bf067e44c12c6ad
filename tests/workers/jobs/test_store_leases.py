"""What happens to a job between its submission and its end, on SQLite and on PostgreSQL."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from workers.errors import Conflict, OutOfMemory
from workers.jobs.job import Failure, Kind, Priority, Progress, Stage, State
from workers.jobs.records import Artifact, AssetKind, Job, Request
from workers.jobs.store import Store

MODEL = "a" * 64
LEASE_S = 30.0
EXPIRED = -1.0
REQUEST = Request(Kind.COMPRESS, MODEL, {"steps": [{"method": "layerwise_pruning"}, {"method": "int8"}]})
FAILURE = Failure(OutOfMemory.code, "It needed 9 GB.", OutOfMemory.hint, Stage.COMPRESS, "conv1")


@pytest.fixture
def job(store: Store) -> Job:
    store.assets.add(AssetKind.MODEL, MODEL, "model.onnx", 10, "me", lambda: None)
    return store.jobs.submit(REQUEST, "me")[0]


def states(store: Store, job: Job) -> list[str]:
    return [event.data["state"] for event in store.jobs.events(job.id) if event.type == "state"]


def test_a_waiting_job_is_claimed_once(store: Store, job: Job) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: store.leases.claim(job.id, f"worker-{n}", LEASE_S), range(8)))
    winner = next(claim for claim in claims if claim is not None)
    assert claims.count(None) == 7
    assert (winner.state, winner.attempt) == (State.RUNNING, 1)
    assert store.jobs.get(job.id).worker == winner.worker


def test_success_shows_results_and_state_together(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    files = [Artifact("1/model.xml", 5, "b" * 64), Artifact("report.json", 7, "c" * 64)]
    assert store.leases.publish(job.id, 1, files, summary={"sparsity": 0.5}, constraint={"met": "unverified"})
    ended = store.jobs.get(job.id)
    assert (ended.state, ended.summary, ended.constraint) == (State.SUCCEEDED, {"sparsity": 0.5}, {"met": "unverified"})
    assert ended.ended_at is not None
    assert store.jobs.artifacts(job.id) == files
    assert states(store, job) == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_failure_is_kept_word_for_word(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    assert store.leases.fail(job.id, 1, FAILURE)
    assert store.jobs.get(job.id).failure == FAILURE


def test_an_expired_lease_puts_the_job_back(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    assert store.leases.expire(max_attempts=3) == [job.id]
    assert store.leases.expire(max_attempts=3) == []
    again = store.leases.claim(job.id, "w", LEASE_S)
    assert again is not None
    assert again.attempt == 2


def test_a_live_lease_is_left_alone(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    assert store.leases.renew(job.id, 1, LEASE_S) == State.RUNNING
    assert store.leases.expire(max_attempts=3) == []


def test_a_worker_that_was_given_up_changes_nothing(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "zombie", EXPIRED)
    store.leases.expire(max_attempts=3)
    store.leases.claim(job.id, "w", LEASE_S)
    before = store.jobs.get(job.id)
    assert store.leases.renew(job.id, 1, LEASE_S) is None
    assert not store.leases.progress(job.id, 1, Progress(Stage.COMPRESS), None)
    assert not store.leases.layer(job.id, 1, {"name": "conv1"})
    assert not store.leases.publish(job.id, 1, [Artifact("1/model.xml", 1, "d" * 64)])
    assert not store.leases.fail(job.id, 1, FAILURE)
    assert not store.leases.release(job.id, 1)
    assert store.jobs.get(job.id) == before
    assert store.jobs.artifacts(job.id) == []


def test_a_job_that_kills_its_workers_is_ended(store: Store, job: Job) -> None:
    for _ in range(2):
        store.leases.claim(job.id, "w", EXPIRED)
        store.leases.expire(max_attempts=2)
    ended = store.jobs.get(job.id)
    assert ended.state == State.FAILED
    assert ended.failure is not None
    assert ended.failure.code == "POISON"
    assert store.leases.claim(job.id, "w", LEASE_S) is None


def test_many_reconcilers_requeue_a_job_once(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    with ThreadPoolExecutor(8) as pool:
        requeued = list(pool.map(lambda _: store.leases.expire(max_attempts=3), range(8)))
    assert sorted(requeued) == [[]] * 7 + [[job.id]]


def test_a_message_is_sent_again_only_when_it_is_old(store: Store, job: Job) -> None:
    waiting = store.assets.get(AssetKind.MODEL, MODEL).job_id
    assert store.leases.unheard(60, limit=10) == []
    time.sleep(0.02)
    assert set(store.leases.unheard(0.01, limit=10)) == {job.id, waiting}
    assert store.leases.unheard(60, limit=10) == []


def test_a_released_job_waits_again(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    assert store.leases.release(job.id, 1)
    assert store.jobs.get(job.id).state == State.QUEUED
    assert store.leases.unheard(60, limit=10) == [job.id], "it has no message any more"


def test_cancel_ends_a_waiting_job(store: Store, job: Job) -> None:
    assert store.jobs.cancel(job.id, LEASE_S).state == State.CANCELED
    assert store.leases.claim(job.id, "w", LEASE_S) is None


def test_cancel_asks_a_running_job_to_stop(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    assert store.jobs.cancel(job.id, LEASE_S).state == State.CANCELING
    assert store.leases.renew(job.id, 1, LEASE_S) == State.CANCELING
    assert not store.leases.publish(job.id, 1, []), "a canceled job must not succeed"
    assert store.leases.fail(job.id, 1, FAILURE)
    assert store.jobs.get(job.id).state == State.CANCELED
    assert store.jobs.get(job.id).failure is None


def test_cancel_waits_for_a_dead_worker_no_longer_than_a_live_one_needs_to_answer(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    store.jobs.cancel(job.id, 0.01)
    time.sleep(0.02)
    assert store.leases.expire(max_attempts=3) == []
    assert store.jobs.get(job.id).state == State.CANCELED


def test_a_worker_that_answers_a_cancel_keeps_the_job_until_it_has_stopped(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    store.jobs.cancel(job.id, LEASE_S / 2)
    assert store.leases.renew(job.id, 1, LEASE_S) == State.CANCELING
    assert store.leases.expire(max_attempts=3) == []
    assert store.jobs.get(job.id).state == State.CANCELING


def test_cancel_makes_no_lease_longer(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    store.jobs.cancel(job.id, LEASE_S)
    store.leases.expire(max_attempts=3)
    assert store.jobs.get(job.id).state == State.CANCELED


def test_priority_goes_before_age_and_uploads_before_both(store: Store, job: Job) -> None:
    low = store.jobs.submit(replace(job.again(), priority=Priority.LOW), "key")[0]
    high = store.jobs.submit(replace(job.again(), priority=Priority.HIGH), "key")[0]
    assert store.jobs.queue() == [high.id, job.id, low.id]
    look = str(store.assets.get(AssetKind.MODEL, MODEL).job_id)
    assert store.leases.foremost(low.id) == look
    store.leases.claim(look, "w", LEASE_S)
    assert store.leases.foremost(low.id) == high.id
    assert store.jobs.prioritize(low.id, Priority.HIGH).priority == Priority.HIGH
    assert store.jobs.queue() == [low.id, high.id, job.id], "among equals, the older"
    store.leases.claim(high.id, "w", LEASE_S)
    with pytest.raises(Conflict):
        store.jobs.prioritize(high.id, Priority.LOW)


def test_the_foremost_is_the_oldest_that_waits_for_the_same_workers(store: Store, job: Job) -> None:
    store.leases.claim(str(store.assets.get(AssetKind.MODEL, MODEL).job_id), "w", LEASE_S)
    second, _ = store.jobs.submit(replace(REQUEST, name="later"), "me")
    elsewhere, _ = store.jobs.submit(replace(REQUEST, runs_on="isa=avx2"), "me")
    assert store.leases.foremost(second.id) == job.id
    assert store.leases.foremost(elsewhere.id) == elsewhere.id
    store.leases.claim(job.id, "w", LEASE_S)
    assert store.leases.foremost(job.id) == second.id, "though its message names another"
    store.leases.release(job.id, 1)
    assert store.leases.foremost(second.id) == job.id, "it lost its worker, not its place"


def test_a_job_whose_worker_died_while_canceling_is_canceled(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    store.jobs.cancel(job.id, LEASE_S)
    assert store.leases.expire(max_attempts=3) == []
    assert store.jobs.get(job.id).state == State.CANCELED


def test_events_are_numbered_without_gaps_under_concurrency(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", LEASE_S)
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda n: store.leases.progress(job.id, 1, Progress(Stage.COMPRESS, n, 20), 1.0), range(20)):
            assert done
    assert [event.seq for event in store.jobs.events(job.id)] == list(range(1, 23))
    assert [event.seq for event in store.jobs.events(job.id, after=20)] == [21, 22]


def test_layers_are_those_of_the_latest_attempt(store: Store, job: Job) -> None:
    store.leases.claim(job.id, "w", EXPIRED)
    store.leases.layer(job.id, 1, {"name": "conv1", "relative_error": float("nan")})
    store.leases.expire(max_attempts=3)
    store.leases.claim(job.id, "w", LEASE_S)
    store.leases.layer(job.id, 2, {"name": "conv\x00", "relative_error": float("nan")})
    assert store.jobs.layers(job.id) == [{"name": "conv\ufffd", "relative_error": None}]
