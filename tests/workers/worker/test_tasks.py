"""A worker's task with a real store, real files and a real child process; only the queue is left out."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stand_in import INSPECTION
from tests.waiting import PATIENCE_S, until
from workers.errors import Conflict
from workers.jobs.artifacts import Artifacts
from workers.jobs.claims import Claims, candidate_name
from workers.jobs.job import Kind, State
from workers.jobs.records import AssetKind, Job, JsonObject, Request
from workers.jobs.store import Store
from workers.settings import Limits, Settings
from workers.worker.sandbox import CHILD
from workers.worker.tasks import WorkerContext, help_job, run_job

STAND_IN = (sys.executable, str(Path(__file__).parents[2] / "stand_in.py"))
EXAMPLES = Path(__file__).parents[3] / "examples"
RECIPE: JsonObject = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}]}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WorkerContext]:
    settings = Settings(
        data_dir=tmp_path,
        child_command=STAND_IN,
        heartbeat_s=0.1,
        lease_s=600,
        limits=Limits(wall_clock_s=PATIENCE_S, grace_s=0.2),
    )
    store = Store(settings.database)
    store.migrate()
    yield WorkerContext("w", store, Artifacts(tmp_path), settings, lambda *call: None, lambda *call: None)
    store.close()


def submit(bench: WorkerContext, kind: Kind = Kind.COMPRESS, act: str = "succeed", recipe: JsonObject = RECIPE) -> Job:
    with bench.artifacts.incoming(1000, 0) as incoming:
        incoming.write(json.dumps({kind: act}).encode())
        sha256 = incoming.finish()
    bench.store.assets.add(
        AssetKind.MODEL,
        sha256,
        "model.onnx",
        incoming.size,
        "me",
        lambda: bench.artifacts.place(incoming.path, AssetKind.MODEL, sha256, "model.onnx"),
    )
    inspection = bench.store.assets.get(AssetKind.MODEL, sha256).job_id
    assert inspection is not None
    if kind == Kind.INSPECT:
        return bench.store.jobs.get(inspection)
    with suppress(Conflict):  # ended, where the model is known already
        bench.store.jobs.cancel(inspection, 30)  # it would come first
    return bench.store.jobs.submit(Request(kind, sha256, recipe), "me")[0]


def submit_digits(bench: WorkerContext) -> Job:
    """A real model, whose layers workers may share."""
    with bench.artifacts.incoming(10**7, 0) as incoming:
        incoming.write((EXAMPLES / "digits.onnx").read_bytes())
        sha256 = incoming.finish()
    bench.artifacts.place(incoming.path, AssetKind.MODEL, sha256, "model.onnx")
    bench.store.assets.add(AssetKind.MODEL, sha256, "model.onnx", incoming.size, "me", lambda: None)
    steps = [{"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}]
    recipe = {"steps": steps, "calibrate_on": "original", "calibration": {"count": 16}}
    return bench.store.jobs.submit(Request(Kind.COMPRESS, sha256, recipe), "me")[0]


def done(bench: WorkerContext, kind: Kind = Kind.COMPRESS, act: str = "succeed") -> Job:
    job = submit(bench, kind, act)
    run_job(bench, job.id)
    return bench.store.jobs.get(job.id)


def left_behind(bench: WorkerContext, job: Job) -> set[str]:
    folder = bench.settings.data_dir / "jobs" / job.id / str(job.attempt)
    return {path.name for path in folder.iterdir()}


def test_a_compression_is_published(bench: WorkerContext) -> None:
    job = done(bench)
    assert job.state == State.SUCCEEDED
    assert job.summary is not None
    assert (job.summary["sparsity"], job.summary["agreement"], job.summary["ratio"]) == (0.5, 0.99, None)
    assert job.constraint == {"requested": 0.01, "achieved": 0.0, "met": "unverified"}
    assert [file.name for file in bench.store.jobs.artifacts(job.id)] == [
        "1/model.bin",
        "1/model.xml",
        "model.zip",
        "provenance.json",
        "report.html",
        "report.json",
    ]
    assert [layer["name"] for layer in bench.store.jobs.layers(job.id)] == ["conv0", "conv1", "conv2"]
    assert bench.artifacts.log(job.id, 1).read_text().endswith("at work on compress\n")
    assert left_behind(bench, job) == {"log.txt", "out"}


def test_a_refused_dataset_is_called_what_its_user_calls_it(bench: WorkerContext) -> None:
    with bench.artifacts.incoming(1000, 0) as incoming:
        incoming.write(b"no archive")
        sha256 = incoming.finish()
    bench.artifacts.place(incoming.path, AssetKind.DATASET, sha256, "of mine.zip")
    bench.store.assets.add(AssetKind.DATASET, sha256, "of mine.zip", incoming.size, "me", lambda: None)
    job_id = bench.store.assets.get(AssetKind.DATASET, sha256).job_id
    assert job_id is not None
    run_job(replace(bench, settings=bench.settings.model_copy(update={"child_command": CHILD})), job_id)
    failure = bench.store.jobs.get(job_id).failure
    assert failure is not None
    assert failure.message.startswith("'of mine.zip' is no .npz")


def test_an_inspection_is_shown_with_its_model(bench: WorkerContext) -> None:
    job = done(bench, Kind.INSPECT)
    model = bench.store.assets.get(AssetKind.MODEL, job.model)
    assert (model.job_state, model.inspection) == (State.SUCCEEDED, INSPECTION)


def test_a_refusal_is_shown_with_its_model(bench: WorkerContext) -> None:
    job = done(bench, Kind.INSPECT, "refuse")
    model = bench.store.assets.get(AssetKind.MODEL, job.model)
    assert model.job_state == State.FAILED
    assert model.failure is not None
    assert (model.failure.code, model.failure.stage) == ("MODEL_UNREADABLE", "import")


@pytest.mark.parametrize(
    ("act", "code"),
    [("crash", "CRASHED"), ("exhaust", "OUT_OF_MEMORY"), ("refuse", "MODEL_UNREADABLE"), ("write nothing", "INTERNAL")],
)
def test_what_befalls_the_child_becomes_a_typed_failure(bench: WorkerContext, act: str, code: str) -> None:
    job = done(bench, act=act)
    assert job.state == State.FAILED
    assert job.failure is not None
    assert (job.failure.code, bool(job.failure.message), bool(job.failure.hint)) == (code, True, True)
    assert bench.store.jobs.artifacts(job.id) == []
    assert left_behind(bench, job) == {"log.txt"}
    assert done(bench).state == State.SUCCEEDED, "the next job runs"


def test_a_job_whose_child_was_killed_is_tried_again_but_not_for_ever(bench: WorkerContext) -> None:
    job = submit(bench, act="be killed")
    for attempt in range(1, bench.settings.max_attempts):
        run_job(bench, job.id)
        waiting = bench.store.jobs.get(job.id)
        assert (waiting.state, waiting.attempt) == (State.QUEUED, attempt)
        assert left_behind(bench, waiting) == {"log.txt"}
    run_job(bench, job.id)
    ended = bench.store.jobs.get(job.id)
    assert ended.failure is not None
    assert (ended.state, ended.failure.code) == (State.FAILED, "POISON")


def test_a_job_that_takes_too_long_is_ended(bench: WorkerContext) -> None:
    slow = replace(bench, settings=bench.settings.model_copy(update={"limits": Limits(wall_clock_s=0.5, grace_s=0.1)}))
    job = done(slow, act="hang")
    assert job.failure is not None
    assert job.failure.code == "TIMED_OUT"


def test_a_secret_that_the_child_links_to_is_not_published(bench: WorkerContext) -> None:
    job = done(bench, act="link a secret")
    assert "secret" not in [file.name for file in bench.store.jobs.artifacts(job.id)]


def test_a_model_whose_file_is_gone_fails_its_job(bench: WorkerContext) -> None:
    job = submit(bench)
    bench.artifacts.discard(AssetKind.MODEL, job.model)
    run_job(bench, job.id)
    failure = bench.store.jobs.get(job.id).failure
    assert failure is not None
    assert failure.code == "NOT_FOUND"


def test_a_running_job_is_canceled_with_all_its_processes(bench: WorkerContext) -> None:
    job = submit(bench, act="hang")
    thread = threading.Thread(target=run_job, args=(bench, job.id))
    before = set(psutil.Process().children(recursive=True))
    thread.start()
    until(lambda: bench.store.jobs.layers(job.id) != [])
    family = set(psutil.Process().children(recursive=True)) - before
    bench.store.jobs.cancel(job.id, 30)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert bench.store.jobs.get(job.id).state == State.CANCELED
    assert family
    assert not psutil.wait_procs(list(family), timeout=PATIENCE_S)[1]
    assert left_behind(bench, bench.store.jobs.get(job.id)) == {"log.txt"}


def test_a_worker_that_lost_its_lease_stops_and_leaves_the_job_to_the_next(bench: WorkerContext) -> None:
    job = submit(bench, act="wait")
    hasty = bench.settings.model_copy(update={"lease_s": -1.0, "heartbeat_s": 1.0})
    short = replace(bench, worker="zombie", settings=hasty)
    zombie = threading.Thread(target=run_job, args=(short, job.id))
    zombie.start()
    until(lambda: bench.store.jobs.layers(job.id) != [])
    assert bench.store.leases.expire(max_attempts=3) == [job.id]
    successor = threading.Thread(target=run_job, args=(bench, job.id))
    successor.start()
    until(lambda: bench.store.jobs.get(job.id).attempt == 2)
    zombie.join(PATIENCE_S)
    (bench.settings.data_dir / "go").touch()
    successor.join(PATIENCE_S)
    ended = bench.store.jobs.get(job.id)
    assert (ended.state, ended.worker, ended.attempt) == (State.SUCCEEDED, "w", 2)
    for file in bench.store.jobs.artifacts(job.id):
        assert bench.artifacts.result(job.id, 2, file.name).stat().st_size == file.size


def test_a_second_message_does_nothing(bench: WorkerContext) -> None:
    job = done(bench)
    run_job(bench, job.id)
    assert bench.store.jobs.get(job.id) == job


def test_a_full_disk_is_a_typed_failure(bench: WorkerContext) -> None:
    job = submit(bench)
    limited = replace(bench, settings=bench.settings.model_copy(update={"limits": Limits(file_size=100)}))
    run_job(limited, job.id)
    failure = bench.store.jobs.get(job.id).failure
    assert failure is not None
    assert failure.code == "OUT_OF_DISK"


def test_idle_workers_are_called_where_layers_can_be_shared(bench: WorkerContext) -> None:
    calls: list[tuple[object, ...]] = []
    calling = replace(bench, call=lambda *call: calls.append(call))
    for worker in ("w", "idle", "another"):
        bench.store.workers.seen(worker, {}, {})
    run_job(calling, submit(bench).id)
    assert calls == []
    job = submit_digits(bench)
    bench.store.jobs.cancel(bench.store.assets.get(AssetKind.MODEL, job.model).job_id or "", 30)
    run_job(calling, job.id)
    assert calls == [(job.id, 1, 2, None)]


@pytest.mark.parametrize(("recipe", "most", "shared"), [
    (RECIPE | {"pareto": {"points": 3}}, 8, [([4, 2], 2), ([7], 1)]),
    (RECIPE | {"pareto": {"points": 3}}, 2, [([4, 2], 1), ([7], 1)]),
    (RECIPE | {"pareto": {"points": 3}}, 1, []),
    (RECIPE, 8, []),
])  # fmt: skip
def test_candidates_are_shared_once_with_as_many_idle_workers_as_may(
    bench: WorkerContext, recipe: JsonObject, most: int, shared: list[Any]
) -> None:
    calls: list[Any] = []
    settings = bench.settings.model_copy(update={"parts": most})
    sharing = replace(bench, settings=settings, share=lambda *call: calls.append(call))
    for worker, cpu in (("w", "a"), ("idle", "a"), ("another", "a"), ("unlike", "b")):
        bench.store.workers.seen(worker, {}, {"cpu": cpu})
    job = submit(bench, act="share", recipe=recipe)
    run_job(sharing, job.id)
    assert bench.store.jobs.get(job.id).state == State.SUCCEEDED
    assert calls == [(job.id, 1, levels, workers, None) for levels, workers in shared]


def test_a_part_that_fails_leaves_the_job_to_its_worker(bench: WorkerContext) -> None:
    job = submit(bench, act="crash", recipe=RECIPE | {"pareto": {"points": 3}})
    bench.store.leases.claim(job.id, "w", 60)
    bench.artifacts.checkpoints(job.id).mkdir(parents=True)
    helper = replace(bench, worker="helper")
    help_job(helper, job.id, 1, 3)
    assert not list(bench.artifacts.checkpoints(job.id).iterdir())
    assert bench.store.jobs.get(job.id).state == State.RUNNING
    claims = Claims(bench.artifacts.checkpoints(job.id))
    claims.close(candidate_name(3))
    unreachable = replace(helper, settings=bench.settings.model_copy(update={"child_command": ("no such program",)}))
    help_job(unreachable, job.id, 1, 3)  # nobody wants it any more: nothing is started


def test_a_helper_solves_layers_of_a_running_job_and_of_no_other(bench: WorkerContext) -> None:
    helper = replace(bench, worker="helper", settings=bench.settings.model_copy(update={"child_command": CHILD}))
    job = submit_digits(bench)
    bench.store.jobs.cancel(bench.store.assets.get(AssetKind.MODEL, job.model).job_id or "", 30)
    solved = bench.settings.data_dir / "jobs" / job.id / "checkpoints"
    help_job(helper, job.id, 1)
    assert not solved.exists(), "nobody does the job"
    bench.store.leases.claim(job.id, "w", 60)
    solved.mkdir(parents=True)
    help_job(helper, job.id, 2)
    assert not list(solved.iterdir()), "another attempt"
    help_job(helper, job.id, 1)
    assert len(list(solved.glob("*/*.npz"))) == 12
    assert not list(solved.parent.glob("help-*"))
    job = bench.store.jobs.get(job.id)
    assert (job.state, job.attempt, bench.store.jobs.layers(job.id)) == (State.RUNNING, 1, [])
