"""What a job says while it runs, and what it leaves behind."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.access.authentication import TAKES_LONG, StoreDep, Viewer, welcome
from service.http.dependencies import ArtifactsDep, JobId
from service.http.schemas import ArtifactView, EventView
from workers.errors import NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.records import Artifact, Job
from workers.jobs.store import Store

POLL_S = 0.5
LONGEST_LOG = 16 << 20  # bytes; what a worker writes is half as long
RECONNECT_MS = 2000
# The report may carry names out of a hostile model: its scripts run in an origin of their own, without our cookies.
REPORT_POLICY = "; ".join(
    ("sandbox allow-scripts", "default-src 'none'", "script-src 'unsafe-inline'", "style-src 'unsafe-inline'", "img-src data:")
)


def _job(store: StoreDep, _: Viewer, job_id: JobId) -> Job:
    return store.jobs.get(job_id)


Known = Annotated[Job, Depends(_job)]
router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])
LastEvent = Annotated[str | None, Header(pattern=r"^[0-9]{0,9}$", description="Continue after this event.")]


@router.get("/events", response_class=EventSourceResponse, dependencies=TAKES_LONG)
async def events(
    request: Request, store: StoreDep, job: Known, last_event_id: LastEvent = None
) -> AsyncIterator[ServerSentEvent]:
    """The history from its beginning, then live, as server-sent events; ends with the job, or when the key is revoked."""
    seen, ended, still = int(last_event_id or 0), False, welcome(request)
    while not ended and await still():
        standing = await request.app.state.standing(job.id)  # asked first, so that nothing comes after the last look
        ended = standing.ended
        while (ended or standing.last_event > seen) and (batch := await run_sync(store.jobs.events, job.id, seen)):
            for event in batch:
                yield ServerSentEvent(
                    data=EventView.model_validate(event), event=event.type, id=str(event.seq), retry=RECONNECT_MS
                )
            seen = batch[-1].seq
        if not ended:
            await sleep(POLL_S)


@router.get("/history")
def history(store: StoreDep, job: Known, after: Annotated[int, Query(ge=0, lt=2**31)] = 0) -> list[EventView]:
    """The next thousand events after that number."""
    return [EventView.model_validate(event) for event in store.jobs.events(job.id, after)]


@router.get("/layers")
def layers(store: StoreDep, job: Known) -> list[dict[str, Any]]:
    """The layers finished so far."""
    return store.jobs.layers(job.id)


@router.get("/logs", response_class=PlainTextResponse)
def logs(artifacts: ArtifactsDep, job: Known, attempt: Annotated[int | None, Query(ge=1, lt=2**31)] = None) -> str:
    """The log of an attempt, the latest if none is named; empty before it begins."""
    file = artifacts.open_log(job.id, attempt or job.attempt)
    if file is None:
        return ""
    with file:
        return file.read(LONGEST_LOG).decode(errors="replace")


@router.get("/report.json")
def report_json(store: StoreDep, artifacts: ArtifactsDep, job: Known) -> FileResponse:
    """The report, for programs."""
    return FileResponse(find_file(store, artifacts, job, "report.json")[0], media_type="application/json")


@router.get("/report.html", response_class=HTMLResponse)
def report_html(store: StoreDep, artifacts: ArtifactsDep, job: Known) -> FileResponse:
    """The report, for people: one page that needs no network."""
    path, _ = find_file(store, artifacts, job, "report.html")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/artifacts")
def artifact_list(store: StoreDep, job: Known) -> list[ArtifactView]:
    """The files that the job has published."""
    return [ArtifactView.model_validate(file) for file in store.jobs.artifacts(job.id)]


@router.get("/artifacts/{name:path}", response_class=FileResponse)
def artifact(store: StoreDep, artifacts: ArtifactsDep, job: Known, name: str) -> FileResponse:
    """A file; `model.zip` is the IR in the layout of a model repository."""
    path, file = find_file(store, artifacts, job, name)
    headers = {"ETag": f'"{file.sha256}"'}
    return FileResponse(path, media_type="application/octet-stream", filename=path.name, headers=headers)


def find_file(store: Store, artifacts: Artifacts, job: Job, name: str) -> tuple[Path, Artifact]:
    """Path and record of a published file. Raises NotFound."""
    for file in store.jobs.artifacts(job.id):
        if file.name == name:
            return artifacts.result(job.id, job.attempt, name), file
    raise NotFound(f"Job {job.id} has no file {name}; it is {job.state}.", hint="Files appear when a job has succeeded.")
