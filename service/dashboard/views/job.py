"""One job: where it stands, its timeline, layers and log while it runs, its report when it has ended."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from markupsafe import Markup
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from service.access.authentication import welcome
from service.dashboard.equivalents import equivalents
from service.dashboard.pages import address, fill, render
from service.dashboard.session_auth import TAKES_LONG, KnownJob, StoreDep, Visitor
from service.http.dependencies import ArtifactsDep, JobId
from service.routes.jobs import view_of
from service.routes.results import find_file
from workers.errors import NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.job import Stage, State
from workers.jobs.records import Job, JobEvent, JsonObject, Role
from workers.jobs.store import Store
from workers.recipe import Recipe
from workers.report import Advice, Report
from workers.report.charts import Columns, columns, share_tick
from workers.report.formatting import percent, significant, tick
from workers.report.page import context as report_context

router = APIRouter()
POLL_S = 0.7
LARGEST_REPORT = 32 << 20  # bytes of JSON that a page reads: a hostile job may write more
LOG_TAIL = 64 << 10  # bytes of a log that a page begins with
PICTURE = r"^[a-z0-9_/-]+\.png$"


class _Answers(BaseModel):
    """What both models made of a sample, as a job has written it: to be believed no further than that."""

    original: int
    compressed: int
    original_confidence: float
    compressed_confidence: float
    label: int | None = None
    unit: str = Field(default="class", max_length=40)


ANSWERS = TypeAdapter(Annotated[list[_Answers], Field(max_length=200)])


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A stage on the timeline."""

    name: str
    standing: str  # done, now, failed or ahead
    seconds: float | None


@router.get("/jobs/{job_id}")
def page(request: Request, store: StoreDep, artifacts: ArtifactsDep, _: Visitor, job_id: JobId) -> Response:
    """All about a job."""
    job = store.jobs.get(job_id)
    [line] = store.listing.lines([job_id])
    log, log_end = _log(artifacts, job)
    files = store.jobs.artifacts(job_id)
    return render(
        request,
        "job.html",
        line=line,
        files={file.name: file for file in files},
        log=log,
        log_end=log_end,
        equivalents=equivalents(request, store, job),
        **(_standing(store, job) | _layers(store, job)),
        **_report(request, store, artifacts, job),
    )


@router.get("/live/jobs/{job_id}", response_class=EventSourceResponse, dependencies=TAKES_LONG)
async def live(
    request: Request,
    store: StoreDep,
    artifacts: ArtifactsDep,
    _: Visitor,
    job_id: KnownJob,
    seen: int = 0,
    log: Annotated[int, Query(ge=0)] = 0,
    attempt: int = 1,
) -> AsyncIterator[ServerSentEvent]:
    """What changes on the page, until the job has ended and the page is to be loaded anew."""
    still = welcome(request)
    while await still():
        job = await run_sync(store.jobs.get, job_id)
        if job.ended or job.attempt > max(1, attempt):
            yield ServerSentEvent(data={}, event="reload")
            return
        if job.last_event != seen:
            for part, known in (("standing", _standing), ("layers-live", _layers)):
                html = await run_sync(partial(_part, request, store, job, part, known))
                yield ServerSentEvent(data={"id": part, "html": html}, event="replace")
            seen = job.last_event
        text, log = await run_sync(_log, artifacts, job, log)
        if text:
            yield ServerSentEvent(data={"id": "log", "text": text}, event="append")
        await sleep(POLL_S)


@router.get("/jobs/{job_id}/pictures/{name:path}")
def picture(
    store: StoreDep,
    artifacts: ArtifactsDep,
    _: Visitor,
    job_id: JobId,
    name: Annotated[str, Path(max_length=100, pattern=PICTURE)],
) -> FileResponse:
    """An image among the results."""
    path, file = find_file(store, artifacts, store.jobs.get(job_id), name)
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, max-age=86400"}
    return FileResponse(path, media_type="image/png", headers=headers)


def _part(request: Request, store: Store, job: Job, part: str, known: Any) -> str:
    return fill(request, f"parts/job_{part.replace('-', '_')}.html", **known(store, job))


def _standing(store: Store, job: Job) -> dict[str, Any]:
    milestones = store.jobs.milestones(job.id)
    return {
        "job": job,
        "place": view_of(job, store).place,
        "timeline": timeline(job, milestones),
        "states": [event for event in milestones if event.type == "state"],
    }


def timeline(job: Job, milestones: Sequence[JobEvent]) -> list[TimelineStep]:
    """The stages of the latest attempt, those ahead included."""
    begun = {event.data["stage"]: event.at for event in milestones if event.type == "progress" and event.attempt == job.attempt}
    order = [stage.value for stage in Stage]
    now = job.progress.stage.value if job.progress else None
    steps = []
    for stage in order:
        seconds = (job.stages or {}).get(stage)
        if seconds is None and stage in begun and stage != now:
            seconds = min((at for at in begun.values() if at > begun[stage]), default=begun[stage]) - begun[stage]
        steps.append(TimelineStep(stage, _stage_standing(job, stage, now, stage in begun), seconds))
    return steps


def _stage_standing(job: Job, stage: str, now: str | None, begun: bool) -> str:
    if job.state == State.SUCCEEDED:
        return "done" if begun else "skipped"
    if stage == now:
        return {State.FAILED: "failed", State.CANCELED: "failed"}.get(job.state, "now")
    return "done" if begun else "ahead"


def _layers(store: Store, job: Job) -> dict[str, Any]:
    done = store.jobs.layers(job.id)
    known = job.progress is not None and job.progress.stage is Stage.COMPRESS
    return {"job": job, "done_layers": done, "layer_charts": _charts(done, job.progress.total if job.progress and known else 0)}


def _charts(done: Sequence[JsonObject], total: int) -> tuple[Columns, ...]:
    """Error and zeros of the layers that are finished, of `total`."""
    if not done:
        return ()
    names = [str(layer["name"]) for layer in done]
    errors, zeros = ([float(layer.get(key) or 0) for layer in done] for key in ("relative_error", "sparsity"))
    return (
        columns("Relative error", names, errors, significant, tick, room=total),
        columns("Share of zeros", names, zeros, percent, share_tick, room=total),
    )


def _log(artifacts: Artifacts, job: Job, start: int | None = None) -> tuple[str, int]:
    """The log from a byte on, its end by default, and where that ends."""
    log = artifacts.open_log(job.id, max(1, job.attempt))
    if log is None:
        return "", start or 0
    with log as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_TAIL) if start is None else min(start, size))
        content = file.read(LOG_TAIL)
        return content.decode(errors="replace"), file.tell()


def _read_report(store: Store, artifacts: Artifacts, job: Job) -> Report | None:
    """None where there is none that this version reads."""
    try:
        path, file = find_file(store, artifacts, job, "report.json")
        return Report.model_validate_json(path.read_bytes()) if file.size <= LARGEST_REPORT else None
    except (NotFound, ValidationError):
        return None


def _report(request: Request, store: Store, artifacts: Artifacts, job: Job) -> dict[str, Any]:
    """What the report's sections need; nothing without a report, or with one of another version."""
    report = _read_report(store, artifacts, job)
    if report is None:
        return {"report": None}
    where = address(request, f"jobs/{job.id}/pictures")
    names = {file.name for file in store.jobs.artifacts(job.id) if file.size <= LARGEST_REPORT}
    return {
        **report_context(report),
        "follow": partial(_link, request, job),
        "contact_sheet": f"{where}/calibration.png" if "calibration.png" in names else None,
        "pictures": _samples(artifacts, job, where) if "samples/samples.json" in names else (),
    }


def _link(request: Request, job: Job, advice: Advice, number: int) -> Markup:
    """What to click to follow a suggestion; nothing for those who may not submit."""
    if request.state.principal.role == Role.VIEWER:
        return Markup("")
    field = {"evaluate": "evaluation", "calibrate": "dataset"}.get(advice.action)
    if field:
        return Markup('<a href="{}#{}">Choose the samples</a>').format(address(request, "new", **{"from": job.id}), field)
    return Markup('<a href="{}">Set up this job</a>').format(address(request, f"jobs/{job.id}/advice/{number}"))


def advised(store: Store, artifacts: Artifacts, job: Job, number: int) -> tuple[str, Recipe]:
    """A sentence of a job's report on what to do next, and the recipe that it suggests. Raises NotFound."""
    report = _read_report(store, artifacts, job)
    try:
        advice = (report.advice if report else ())[number]
        return advice.sentence, Recipe.model_validate(advice.recipe)
    except (IndexError, ValidationError) as error:
        raise NotFound(f"Job {job.id} suggests no such recipe.") from error


def _samples(artifacts: Artifacts, job: Job, where: str) -> list[JsonObject]:
    """Samples with both models' answers, their images by address; none where a job has written something else."""
    try:
        told = ANSWERS.validate_json(artifacts.result(job.id, job.attempt, "samples/samples.json").read_bytes())
    except ValidationError:
        return []
    return [{**vars(sample), "png": f"{where}/samples/{number:02}.png"} for number, sample in enumerate(told, 1)]
