"""run_job: claim a job, have the sandboxed child do it, record what came of it."""

import errno
import json
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from celery import Celery

from workers import sandbox
from workers.broker import RUN_JOB, make_celery
from workers.errors import Canceled, FractuneError, Internal, OutOfDisk, OutOfMemory, Poison
from workers.jobs.artifacts import LOG, OUT, Artifacts
from workers.jobs.depot import depot_of
from workers.jobs.job import Failure, Kind, Task
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.recorder import Recorder
from workers.jobs.records import Artifact, AssetKind, Job, JsonObject
from workers.jobs.retention import COPY_AGE_S
from workers.jobs.store import Store
from workers.jobs.store.leases import Leases
from workers.jobs.summary import summarize
from workers.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a worker works."""

    worker: str
    store: Store
    artifacts: Artifacts
    settings: Settings


@dataclass(frozen=True, slots=True)
class Results:
    """What a job has brought forth."""

    files: list[Artifact]
    summary: JsonObject | None = None
    constraint: JsonObject | None = None
    inspection: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Interruption:
    """Nothing came of the attempt, through no fault of the job."""


def make_worker(settings: Settings, worker: str) -> Celery:
    """A Celery application that can do the task."""
    celery = make_celery(settings)

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run(job_id: str) -> None:
        signal.signal(signal.SIGTERM, leave)
        try:
            artifacts = Artifacts(settings.data_dir, depot_of(settings))
            with closing(Store(settings.database)) as store:
                run_job(Bench(worker, store, artifacts, settings), job_id)
            artifacts.forget_copies(COPY_AGE_S)
        except MemoryError:  # it would take the whole worker down; so the job's lease runs out instead
            raise OutOfMemory from None

    return celery


def leave(signum: int, frame: FrameType | None) -> None:
    """The worker is told to stop: unwind, so that the child ends and the job goes to another worker."""
    raise SystemExit(128 + signum)


def run_job(bench: Bench, job_id: str) -> None:
    """Do the foremost job of those that wait beside `job_id`. Whatever becomes of the work is recorded, once."""
    settings, leases = bench.settings, bench.store.leases
    job = None
    while job is None:
        foremost = leases.foremost(job_id)
        if foremost is None:
            return  # a second message, or canceled meanwhile
        job = leases.claim(foremost, bench.worker, settings.lease_s)  # unless another worker is quicker
    structlog.contextvars.bind_contextvars(job_id=job.id, attempt=job.attempt)
    log.info("job started", kind=job.kind)
    try:
        with Lease(leases, job.id, job.attempt, settings.lease_s, settings.heartbeat_s) as lease:
            recorder = Recorder(leases, job.id, job.attempt)
            end = attempt(bench, job, lease, recorder)
            published = lease.persist(lambda: record(leases, job, end, recorder.stages()))
    except LeaseLost:
        log.warning("job lost to another worker")
    except (SystemExit, KeyboardInterrupt):
        leases.release(job.id, job.attempt)
        raise
    else:
        bench.artifacts.tidy(job.id, job.attempt, keep=frozenset({LOG, OUT}) if published else frozenset({LOG}))
        if published:  # a job that failed may be retried
            bench.artifacts.forget_checkpoints(job.id)
        log.info("job ended", published=published)


def record(leases: Leases, job: Job, end: Results | Failure | Interruption, stages: dict[str, float]) -> bool:
    """Write down the end of an attempt; True when its results are published."""
    if isinstance(end, Interruption):
        if leases.release(job.id, job.attempt):
            return False
        end = failure_of(Canceled())
    if isinstance(end, Results):
        figures = {"summary": end.summary, "constraint": end.constraint, "inspection": end.inspection}
        if leases.publish(job.id, job.attempt, end.files, **figures, stages=stages):
            return True
        end = failure_of(Canceled())  # only that, or the loss of the lease, keeps results from being published
    leases.fail(job.id, job.attempt, end, stages)
    return False


def attempt(bench: Bench, job: Job, lease: Lease, recorder: Recorder) -> Results | Failure | Interruption:
    """Do the work; whatever goes wrong with it is an answer."""
    try:
        return work(bench, job, lease, recorder)
    except FractuneError as error:
        return failure_of(error)
    except MemoryError:
        return failure_of(OutOfMemory("The worker ran out of memory beside the job."))
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return failure_of(OutOfDisk() if full else Internal(f"The worker could not keep the results: {error}"))


def work(bench: Bench, job: Job, lease: Lease, recorder: Recorder) -> Results | Failure | Interruption:
    """Run the child and gather its results."""
    settings = bench.settings
    workdir = bench.artifacts.workdir(job.id, job.attempt)
    outcome = sandbox.run(
        task_of(job, bench.artifacts, workdir, settings.threads),
        workdir,
        settings.limits,
        recorder,
        lease.should_stop,
        command=settings.child_command,
    )
    recorder.flush()
    bench.artifacts.keep_log(job.id, job.attempt)
    if outcome.killed:
        return Interruption() if job.attempt < settings.max_attempts else failure_of(Poison())
    if outcome.failure is not None:
        return outcome.failure
    files = bench.artifacts.seal(job.id, job.attempt)
    if job.kind == Kind.INSPECT:
        return Results(files, inspection=read(workdir / OUT / "inspection.json"))
    report = read(workdir / OUT / "report.json")
    return Results(files, summarize(report), report.get("constraint"))


def task_of(job: Job, artifacts: Artifacts, workdir: Path, threads: int | None) -> Task:
    """The job in paths and plain values. Raises NotFound for a file that is gone."""

    def dataset(sha256: str | None) -> str | None:
        return None if sha256 is None else str(artifacts.path(AssetKind.DATASET, sha256))

    model = str(artifacts.path(AssetKind.MODEL, job.model))
    data, evaluation = dataset(job.dataset), dataset(job.evaluation)
    checkpoints = str(artifacts.checkpoints(job.id)) if job.kind == Kind.COMPRESS else None
    return Task(job.kind, model, str(workdir / OUT), job.recipe, data, evaluation, threads, checkpoints)


def read(path: Path) -> dict[str, Any]:
    """A JSON object that the child has written. Raises Internal."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Internal(f"The job ended without a readable {path.name}: {error}") from error
    if not isinstance(value, dict):
        raise Internal(f"The job ended with a {path.name} that is no object.")
    return value


def failure_of(error: FractuneError) -> Failure:
    """The error as the store keeps it."""
    return Failure(error.code, error.message, error.hint)
