"""run_job: claim a job, have the sandboxed child do it, record what came of it."""

import errno
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from celery import Celery

from workers.errors import Canceled, FractuneError, Internal, NotFound, OutOfDisk, OutOfMemory, TooManyAttempts, Unavailable
from workers.jobs.artifacts import LOG, OUT, Artifacts
from workers.jobs.blob_store import blob_store_of
from workers.jobs.claims import Claims, candidate_name
from workers.jobs.job import Failure, JobTask, Kind, State
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.model_cache import model_cache, trim
from workers.jobs.recorder import Recorder
from workers.jobs.records import Artifact, AssetKind, Job, JsonObject, uploaded_decoder
from workers.jobs.retention import COPY_AGE_S
from workers.jobs.store import Store
from workers.jobs.store.leases import Leases
from workers.jobs.summary import summarize
from workers.settings import Settings
from workers.worker import sandbox
from workers.worker.broker import HELP, PART, RUN_JOB, call_for_help, make_celery, share_candidates
from workers.worker.expectation import expectation
from workers.worker.inspections import checked
from workers.worker.sandbox.streams import strict_json

log = structlog.get_logger(__name__)
LONGEST_JSON = 32 << 20  # characters of a report or an inspection, as pages read them


Call = Callable[[str, int, int, str | None], None]  # for help with a job: its id, attempt, how many, of which class
Share = Callable[[str, int, Sequence[int], int, str | None], None]  # the same of candidates, by their levels


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Where a worker works."""

    worker: str
    store: Store
    artifacts: Artifacts
    settings: Settings
    call: Call
    share: Share


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

    @contextmanager
    def bench() -> Iterator[WorkerContext]:
        signal.signal(signal.SIGTERM, leave)
        try:
            artifacts = Artifacts(settings.data_dir, blob_store_of(settings))
            with closing(Store(settings.database)) as store:
                calls = (partial(call_for_help, celery), partial(share_candidates, celery))
                yield WorkerContext(worker, store, artifacts, settings, *calls)
            artifacts.forget_copies(COPY_AGE_S)
        except MemoryError:  # it would take the whole worker down; so the job's lease runs out instead
            raise OutOfMemory from None

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run(job_id: str) -> None:
        with bench() as place:
            run_job(place, job_id)

    @celery.task(name=HELP)  # type: ignore[untyped-decorator]
    def assist(job_id: str, attempt: int) -> None:
        with bench() as place:
            help_job(place, job_id, attempt)

    @celery.task(name=PART, acks_late=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]
    def part(job_id: str, attempt: int, level: int) -> None:
        with bench() as place:
            help_job(place, job_id, attempt, level)

    return celery


def leave(signum: int, frame: FrameType | None) -> None:
    """The worker is told to stop: unwind, so that the child ends and the job goes to another worker."""
    raise SystemExit(128 + signum)


def run_job(bench: WorkerContext, job_id: str) -> None:
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
            recorder = Recorder(leases, job.id, job.attempt, expectation(bench.store, job))
            seek_help(bench, job)
            end = attempt(bench, job, lease, recorder)
            published = lease.persist(lambda: record_end(leases, job, end, recorder.stages()))
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


def seek_help(bench: WorkerContext, job: Job) -> None:
    """Call the workers that have nothing to do, where the layers of a job can be shared."""
    recipe = job.recipe or {}
    if recipe.get("calibrate_on") != "original" or explores(job):
        return
    try:
        bench.call(job.id, job.attempt, idle_workers(bench, job), job.runs_on)
    except Unavailable:
        log.warning("no help was called")


def share_job(bench: WorkerContext, job: Job, levels: Sequence[int]) -> None:
    """Have idle workers solve the candidates of a job at these levels, as many workers as may share a job."""
    try:
        workers = min(idle_workers(bench, job), bench.settings.parts - 1, len(levels))
        if explores(job) and workers > 0:
            bench.share(job.id, job.attempt, levels, workers, job.runs_on)
            log.info("candidates shared", job_id=job.id, levels=levels, workers=workers)
    except Unavailable:
        log.warning("no candidate was shared")


def explores(job: Job) -> bool:
    """Whether a job makes several candidates."""
    return bool(job.recipe and (job.recipe.get("search") or job.recipe.get("pareto")))


def idle_workers(bench: WorkerContext, job: Job) -> int:
    """How many other workers have nothing to do, may do a job, and have a processor that computes the same bytes."""
    everyone = {worker.id: worker for worker in bench.store.workers.list()}
    own = everyone.pop(bench.worker, None)
    alike = [other for other in everyone.values() if own is None or other.labels.get("cpu") == own.labels.get("cpu")]
    return sum(other.idle(job.runs_on, bench.settings.lease_s) for other in alike)


def help_job(bench: WorkerContext, job_id: str, attempt: int, level: int | None = None) -> None:
    """Solve layers of a job that another worker does, or those of its candidate at a level. Nothing of it is recorded.

    Not where a job waits that nobody does; parts of a search have a place in the queue behind it.
    """
    claims = Claims(bench.artifacts.checkpoints(job_id))

    def over() -> bool:
        try:
            job = bench.store.jobs.get(job_id)
        except NotFound:
            return True
        except Unavailable:
            return False
        unwanted = level is not None and claims.closed(candidate_name(level))
        return unwanted or (job.state, job.attempt) != (State.RUNNING, attempt)

    if over() or (level is None and any(bench.store.leases.waiting().values())):
        return
    job = bench.store.jobs.get(job_id)
    with bench.artifacts.helping(job_id, bench.worker) as workdir:
        whole = job_task(job, bench.artifacts, workdir, bench.settings.threads)
        task = replace(whole, evaluation=None, decoder=None, helping=True, level=level)
        if level is None:  # where candidates are shared, their folder is there, or the job has ended
            make_checkpoints(task)
        command = bench.settings.child_command
        outcome = sandbox.run_sandboxed(task, workdir, bench.settings.limits, lambda event: None, over, command=command)
    log.info("helped", job_id=job_id, level=level, failure=outcome.failure and outcome.failure.code)


def record_end(leases: Leases, job: Job, end: Results | Failure | Interruption, stages: dict[str, float]) -> bool:
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


def attempt(bench: WorkerContext, job: Job, lease: Lease, recorder: Recorder) -> Results | Failure | Interruption:
    """Do the work; whatever goes wrong with it is an answer."""
    try:
        return work(bench, job, lease, recorder)
    except FractuneError as error:
        return failure_of(error)
    except MemoryError:
        return failure_of(OutOfMemory("The worker ran out of memory beside the job."))
    except RecursionError:
        return failure_of(Internal("The job left folders that are too deep to look into."))
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return failure_of(OutOfDisk() if full else Internal(f"The worker could not keep the results: {error}"))


def work(bench: WorkerContext, job: Job, lease: Lease, recorder: Recorder) -> Results | Failure | Interruption:
    """Run the child and gather its results."""
    settings = bench.settings
    workdir = bench.artifacts.workdir(job.id, job.attempt)
    task = job_task(job, bench.artifacts, workdir, settings.threads)
    make_checkpoints(task)

    told: set[int] = set()  # candidates, each of which is shared once, whatever the child says

    def hear(event: JsonObject) -> None:
        if event["event"] != "parts":
            recorder(event)
        elif levels := [level for level in event["levels"] if level not in told]:
            told.update(levels)
            share_job(bench, job, levels)

    outcome = sandbox.run_sandboxed(
        task,
        workdir,
        settings.limits,
        hear,
        lease.should_stop,
        command=settings.child_command,
    )
    recorder.flush()
    trim(bench.artifacts.cache)
    bench.artifacts.keep_log(job.id, job.attempt)
    if outcome.killed:
        return Interruption() if job.attempt < settings.max_attempts else failure_of(TooManyAttempts())
    if outcome.failure is not None:
        return as_uploaded(outcome.failure, job, task, bench.store)
    files = bench.artifacts.seal(job.id, job.attempt)
    if job.kind in (Kind.INSPECT, Kind.INSPECT_DATASET):
        return Results(files, inspection=checked(job.kind, read_json(workdir / OUT / "inspection.json")))
    report = read_json(workdir / OUT / "report.json")
    return Results(files, summarize(report), report.get("constraint"))


def as_uploaded(failure: Failure, job: Job, task: JobTask, store: Store) -> Failure:
    """The failure with files called as they were uploaded; it knows them as they are stored."""
    given = [(AssetKind.MODEL, job.model, task.model), (AssetKind.DATASET, job.dataset, task.data)]
    given.append((AssetKind.DATASET, job.evaluation, task.evaluation))
    names: dict[str, set[str]] = {}
    for kind, sha256, path in given:
        with suppress(NotFound):
            if sha256 and path:
                names.setdefault(repr(Path(path).name), set()).add(repr(store.assets.get(kind, sha256).name))
    message = failure.message
    for stored, known in names.items():
        message = message.replace(stored, known.pop()) if len(known) == 1 else message
    return replace(failure, message=message)


def job_task(job: Job, artifacts: Artifacts, workdir: Path, threads: int | None) -> JobTask:
    """The job in paths and plain values. Raises NotFound for a file that is gone."""

    def dataset(sha256: str | None) -> str | None:
        return None if sha256 is None else str(artifacts.path(AssetKind.DATASET, sha256))

    model = "" if job.kind == Kind.INSPECT_DATASET else str(artifacts.path(AssetKind.MODEL, job.model))
    data, evaluation = dataset(job.dataset), dataset(job.evaluation)
    compressing = job.kind == Kind.COMPRESS
    checkpoints = str(artifacts.checkpoints(job.id)) if compressing else None
    cache = model_cache(artifacts.cache, job.project, job.model) if compressing else None
    decoder = uploaded_decoder(job.recipe)
    decoding = str(artifacts.path(AssetKind.MODEL, decoder)) if decoder else None
    return JobTask(job.kind, model, str(workdir / OUT), job.recipe, data, evaluation, threads, checkpoints, cache, decoding)


def make_checkpoints(task: JobTask) -> None:
    """The folder has to be there before the child is confined: it is opened to it by name."""
    if task.checkpoints:
        Path(task.checkpoints).mkdir(mode=0o700, exist_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that the child has written; a link of its making is not followed. Raises Internal."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            value = strict_json(file.read(LONGEST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise Internal(f"The job ended without a readable {path.name}: {error}") from error
    if not isinstance(value, dict):
        raise Internal(f"The job ended with a {path.name} that is no object.")
    return value


def failure_of(error: FractuneError) -> Failure:
    """The error as the store keeps it."""
    return Failure(error.code, error.message, error.hint)
