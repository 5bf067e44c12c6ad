"""The candidates of one job on several workers: real Celery processes on a real broker, and the real child."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.servers import folder, valkey
from tests.waiting import PATIENCE_S, until
from tests.workers.ir.tiny import cnn, save
from tests.workers.worker.house import House
from workers.jobs.claims import Claims, candidate_name
from workers.jobs.job import Kind, State
from workers.jobs.records import Job, Request
from workers.recipe import Recipe
from workers.run.search_strategy import build_ladder
from workers.worker import broker

REAL = {"FRACTUNE_CHILD_COMMAND": json.dumps([sys.executable, "-m", "workers.run.child"]), "FRACTUNE_THREADS": "1"}
RECIPE = {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}],
    "calibration": {"count": 16, "inversion_steps": 0},
    "pareto": {"points": 3},
    "benchmark": None,
}


def submit(house: House, sha256: str) -> Job:
    return house.store.jobs.submit(Request(Kind.COMPRESS, sha256, RECIPE), "me")[0]


def digests(house: House, job: Job) -> dict[str, str]:
    """Of the models that a job has published."""
    files = house.store.jobs.artifacts(job.id)
    return {file.name: file.sha256 for file in files if file.name.startswith(("1/", "points/"))}


def children(worker: psutil.Process) -> list[psutil.Process]:
    """The confined processes of a worker."""
    found = []
    for process in worker.children(recursive=True):
        try:
            found += [process] if "workers.run.child" in " ".join(process.cmdline()) else []
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def holding(house: House, job: Job) -> Iterator[None]:
    """Announce a job whose first candidate the test itself has locked: its worker waits, and only helpers go on."""
    folder = checkpoints(house, job)
    folder.mkdir(parents=True)
    claims, first = Claims(folder), candidate_name(build_ladder(Recipe.model_validate(RECIPE)).first)
    assert claims.take(first)
    broker.enqueue(house.celery, job.id)
    try:
        yield
    finally:
        claims.release(first)


def helper_of(house: House, job: Job, workers: list[psutil.Process]) -> psutil.Process:
    """The worker that helps, once its child is there."""
    house.until(lambda: bool(list(folder_of(house, job).glob("help-*"))))
    [name] = [path.name for path in folder_of(house, job).glob("help-*")]
    [helper] = [worker for worker in workers if name.endswith(f"-{worker.pid}")]
    until(lambda: children(helper))
    return helper


def folder_of(house: House, job: Job) -> Path:
    return house.settings.data_dir / "jobs" / job.id


def solved(house: House, job: Job) -> set[Path]:
    """Where layers of candidates are."""
    return {path.parent for path in checkpoints(house, job).glob("*/*.npz") if path.name != "profile.npz"}


def checkpoints(house: House, job: Job) -> Path:
    return folder_of(house, job) / "checkpoints"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(), tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="module")
def alone(model: Path) -> dict[str, str]:
    """What one worker makes of it."""
    with folder() as home, valkey(home / "broker.sock"):
        house = House(home)
        with house.worker(**REAL):
            job = submit(house, house.upload(model))
            broker.enqueue(house.celery, job.id)
            house.until_ended(job)
        assert house.state(job) == State.SUCCEEDED
        return digests(house, job)


@pytest.mark.parametrize("number", [2, 4])
def test_any_number_of_workers_makes_the_same_bytes(running: House, model: Path, alone: dict[str, str], number: int) -> None:
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(running.worker(**REAL))
        running.until(lambda: len(running.store.workers.list()) == number)
        job = submit(running, running.upload(model))
        with holding(running, job):
            running.until(lambda: len(solved(running, job)) > 1)
        running.until_ended(job)
        running.until(lambda: not checkpoints(running, job).exists() and not list(folder_of(running, job).glob("help-*")))
    assert digests(running, job) == alone
    report = json.loads(running.artifacts.result(job.id, 1, "report.json").read_text())
    assert report["reused_layers"] > 0, "others have solved them"


def test_a_part_whose_worker_is_killed_is_done_again(running: House, model: Path, alone: dict[str, str]) -> None:
    with running.worker(**REAL) as one, running.worker(**REAL) as other:
        running.until(lambda: len(running.store.workers.list()) == 2)
        job = submit(running, running.upload(model))
        with holding(running, job):
            helper = helper_of(running, job, [one, other])
            family = helper.children(recursive=True)
            helper.kill()
            assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1], "no process is left behind"
        running.until_ended(job)
    ended = running.store.jobs.get(job.id)
    assert (ended.state, ended.attempt, digests(running, job)) == (State.SUCCEEDED, 1, alone)


def test_cancel_reaches_every_part(running: House, model: Path) -> None:
    with running.worker(**REAL) as one, running.worker(**REAL) as other:
        running.until(lambda: len(running.store.workers.list()) == 2)
        job = submit(running, running.upload(model))
        with holding(running, job):
            helper = helper_of(running, job, [one, other])
            for process in (family := children(helper)):
                process.suspend()  # so that it cannot have ended by itself
            running.store.jobs.cancel(job.id, 30)
            assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]
            running.until_ended(job)
        running.until(lambda: broker.depth(running.celery) == 0 and not list(folder_of(running, job).glob("help-*")))
        until(lambda: not children(one) + children(other))
    assert running.state(job) == State.CANCELED
