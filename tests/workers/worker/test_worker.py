"""Real workers: Celery processes on a real broker, killed in every way a machine room knows."""

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.servers import cluster, folder, postgres_binaries, valkey
from tests.waiting import PATIENCE_S
from tests.workers.worker.house import ROOT, House
from workers.jobs.job import State
from workers.machine import fingerprint, labels
from workers.worker import broker


def test_jobs_are_done_in_turn_and_the_worker_shows_itself(running: House) -> None:
    with running.worker():
        jobs = [running.submit(act) for act in ("succeed", "crash", "exhaust", "succeed")]
        running.until_ended(*jobs)
        [worker] = running.store.workers.list()
    assert [running.state(job) for job in jobs] == ["SUCCEEDED", "FAILED", "FAILED", "SUCCEEDED"]
    assert {running.store.jobs.get(job.id).attempt for job in jobs} == {1}
    assert worker.machine["cores"] == os.cpu_count()


def test_a_job_outlives_its_worker(running: House) -> None:
    job = running.submit("wait")
    with running.worker() as first:
        running.until_at_work(job)
        family = first.children(recursive=True)
        first.kill()
        assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1], "no process is left behind"
    running.store.leases.renew(job.id, 1, -1)  # as if it had been silent for long
    (running.settings.data_dir / "go").touch()
    with running.worker():
        running.until_ended(job)
    ended = running.store.jobs.get(job.id)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)


def test_a_job_goes_to_the_class_of_workers_that_it_asks_for(running: House) -> None:
    quiet = {"FRACTUNE_WORKER_LABELS": '{"room": "quiet"}', "FRACTUNE_WORKER_DEDICATED": "true"}
    with running.worker() as anyone, running.worker(**quiet) as bench:
        plain = [running.submit() for _ in range(3)]
        labelled = [running.submit(runs_on="room=quiet", announce=announce) for announce in (True, False)]
        own = running.submit(runs_on=f"isa={labels(fingerprint())['isa']}")
        running.until_ended(*plain, *labelled, own)
        workers = {worker.id.rpartition("-")[2]: worker.labels for worker in running.store.workers.list()}
    done_by = {job.id: (running.store.jobs.get(job.id).worker or "").rpartition("-")[2] for job in (*plain, *labelled)}
    assert {done_by[job.id] for job in plain} == {str(anyone.pid)}
    assert {done_by[job.id] for job in labelled} == {str(bench.pid)}
    assert workers[str(bench.pid)] == workers[str(anyone.pid)] | {"room": "quiet"}


def test_a_job_waits_for_a_worker_of_its_class(running: House) -> None:
    with running.worker():
        waiting, other = running.submit(runs_on="isa=none-such"), running.submit()
        running.until_ended(other)
        time.sleep(1.5)  # longer than requeue_s
        running.reconcile()
        assert running.state(waiting) == State.QUEUED
    assert broker.depth(running.celery, "isa=none-such") == 1


def test_a_drained_worker_finishes_its_job_and_takes_no_more(running: House) -> None:
    job = running.submit("wait")
    with running.worker() as drained:
        running.until_at_work(job)
        following = running.submit()
        drained.send_signal(signal.SIGUSR2)
        time.sleep(1)
        assert running.state(job) == State.RUNNING
        (running.settings.data_dir / "go").touch()
        assert drained.wait(PATIENCE_S) == 0
        assert running.state(job) == State.SUCCEEDED
        assert running.store.workers.list() == []
    assert running.state(following) == State.QUEUED
    assert running.store.jobs.get(job.id).attempt == 1
    with running.worker():
        running.until_ended(following)


def test_a_stopped_worker_gives_its_job_back_at_once(running: House) -> None:
    job = running.submit("wait")
    with running.worker() as worker:
        running.until_at_work(job)
        family = worker.children(recursive=True)
        worker.send_signal(signal.SIGTERM)
        worker.wait(PATIENCE_S)
        assert running.state(job) == State.QUEUED
        assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1], "no process is left behind"
    assert running.store.workers.list() == []


def test_a_queue_that_lost_everything_loses_no_job(house: House) -> None:
    socket = house.settings.data_dir / "broker.sock"
    with ExitStack() as stack:
        with valkey(socket):
            stack.enter_context(house.worker())
            jobs = [house.submit("wait" if n == 0 else "succeed") for n in range(4)]
            house.until_at_work(jobs[0])
        (house.settings.data_dir / "go").touch()
        stack.enter_context(valkey(socket))
        house.until_ended(*jobs)
    assert {house.state(job) for job in jobs} == {State.SUCCEEDED}
    assert {house.store.jobs.get(job.id).attempt for job in jobs} == {1}


def test_a_database_that_crashes_under_a_job_loses_nothing(tmp_path: Path) -> None:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL IS NOT TESTED: it is not installed")
    with cluster(binaries) as database, folder() as home, ExitStack() as stack:
        with database.running() as server:
            house = House(home, database.url("postgres"))
            stack.enter_context(valkey(home / "broker.sock"))
            stack.enter_context(house.worker())
            job, following = house.submit("wait"), house.submit()
            house.until_at_work(job)
            server.send_signal(signal.SIGQUIT)  # it drops everything, without a checkpoint
            server.wait(PATIENCE_S)
        (home / "go").touch()
        stack.enter_context(database.running())
        house.until_ended(job, following)
        ended = house.store.jobs.get(job.id)
        assert (ended.state, house.state(following)) == (State.SUCCEEDED, State.SUCCEEDED)
        assert [event.data["state"] for event in house.store.jobs.events(job.id) if event.type == "state"][-1] == "SUCCEEDED"
        house.store.close()


def test_a_job_that_was_never_announced_is_found(running: House) -> None:
    job = running.submit(announce=False)
    with running.worker():
        running.until_ended(job)
    assert running.state(job) == State.SUCCEEDED


def test_a_message_that_comes_three_times_is_done_once(running: House) -> None:
    job = running.submit()
    for _ in range(2):
        broker.enqueue(running.celery, job.id)
    last = running.submit()
    with running.worker():
        running.until_ended(job, last)
    assert running.store.jobs.get(job.id).attempt == 1
    assert [event.data["state"] for event in running.store.jobs.events(job.id) if event.type == "state"] == [
        "QUEUED",
        "RUNNING",
        "SUCCEEDED",
    ]


def test_a_busy_worker_holds_no_message_that_an_idle_one_could_take(running: House) -> None:
    long, short = running.submit("wait"), running.submit()
    with running.worker(), running.worker():
        running.until_at_work(long)
        running.until_ended(short)
        assert running.state(long) == State.RUNNING


def test_a_long_queue_is_not_made_longer(running: House) -> None:
    for _ in range(5):
        running.submit()
    time.sleep(1.1)  # the messages are old enough to count as lost
    running.reconcile()
    assert broker.depth(running.celery) == 6, "five, and the inspection of their model"
    assert running.store.leases.waiting() == {None: 6}


def test_idle_workers_share_the_layers_of_a_job(running: House, tmp_path: Path) -> None:
    """By the real child: the same bytes as one worker alone makes of it, and nothing left behind."""
    real = {"FRACTUNE_CHILD_COMMAND": json.dumps([sys.executable, "-m", "workers.run.child"]), "FRACTUNE_THREADS": "1"}
    step = {"method": "layerwise_pruning", "sparsity_level": 0.5}
    recipe = {"steps": [step], "calibrate_on": "original", "calibration": {"count": 64}, "benchmark": None}
    model = running.upload(ROOT / "examples" / "digits.onnx")
    made = []
    with running.worker(**real):
        made.append(running.compressed(model, recipe))
        with running.worker(**real):
            running.until(lambda: len(running.store.workers.list()) == 2)
            made.append(running.compressed(model, recipe))
            running.until(lambda: not list(running.settings.data_dir.glob("jobs/*/help-*")))
    alone, shared = made
    assert alone == shared
    assert not list(running.settings.data_dir.glob("jobs/*/checkpoints"))
