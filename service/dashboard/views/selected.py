"""What is done to several jobs of the table at once, and the table as a file for spreadsheets."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from service.dashboard.pages import go, render
from service.dashboard.session_auth import Form, StoreDep, Visitor
from service.dashboard.views.jobs import JobTableQuery
from service.http.dependencies import ArtifactsDep, SettingsDep
from workers.errors import Conflict, Forbidden, InvalidRequest, NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.records import Role
from workers.jobs.store import Store
from workers.jobs.store.listing import JobRow
from workers.jobs.summary import FIGURES

router = APIRouter()
MOST_SELECTED = 200
ROWS = 500  # of a file that are read at once
ACTIONS = {"cancel": "Cancel", "remove": "Remove for good"}
TOLD = ("id", "name", "model", "methods", "state", "priority", "owner", "worker", "created", "ended", "seconds", "failure")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet would begin to compute


@router.post("/jobs/selected")
def selected(
    request: Request, store: StoreDep, artifacts: ArtifactsDep, settings: SettingsDep, principal: Visitor, fields: Form
) -> Response:
    """Compare the jobs that were ticked, or, once that is confirmed, cancel or remove them."""
    ids = [str(value) for value in fields.getlist("job")][:MOST_SELECTED]
    action = str(fields.get("action", ""))
    if action == "compare":
        return go(request, "compare", job=ids)
    if action not in ACTIONS:
        raise InvalidRequest("There is no such action.", hint="Use the buttons of the table.")
    if principal.role == Role.VIEWER:
        raise Forbidden("Viewers change nothing.", hint="Ask an administrator for a key of an operator.")
    lines = _fitting(store.listing.lines(ids), action)
    if fields.get("sure") != "yes":
        return render(request, "selected.html", lines=lines, action=action, title=ACTIONS[action], left=len(ids) - len(lines))
    for line in lines:
        with suppress(NotFound, Conflict):  # it has ended, or gone, meanwhile
            _do(action, store, artifacts, settings.answer_s, line.job.id)
    return go(request, "")


def _fitting(lines: list[JobRow], action: str) -> list[JobRow]:
    """Those that can be canceled, or removed."""
    return [line for line in lines if line.job.ended == (action == "remove")]


def _do(action: str, store: Store, artifacts: Artifacts, answer_s: float, job_id: str) -> None:
    if action == "cancel":
        store.jobs.cancel(job_id, answer_s)
    else:
        store.retention.remove_job(job_id, lambda: artifacts.discard_job(job_id))


@router.get("/jobs.csv")
def table(store: StoreDep, _: Visitor, asked: Annotated[JobTableQuery, Depends()]) -> StreamingResponse:
    """All rows that the filters let through, in the order of the table."""
    headers = {"Content-Disposition": 'attachment; filename="jobs.csv"'}
    return StreamingResponse(_lines(store, asked), media_type="text/csv; charset=utf-8", headers=headers)


def _lines(store: Store, asked: JobTableQuery) -> Iterator[str]:
    yield _csv([*TOLD, *FIGURES])
    page = 1
    while rows := store.listing.page(asked.wanted, page, ROWS).items:
        yield "".join(map(_row, rows))
        page += 1


def _row(line: JobRow) -> str:
    job = line.job
    seconds = job.ended_at - job.started_at if job.ended_at and job.started_at else None
    told = (job.id, job.name, line.model_name, job.methods, job.state, job.priority, job.owner, job.worker)
    times = (_time(job.created_at), _time(job.ended_at), seconds, job.failure and job.failure.code)
    return _csv([*told, *times, *((job.summary or {}).get(name) for name in FIGURES)])


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _csv(cells: Sequence[object]) -> str:
    """One line; no text in it begins with what a spreadsheet takes for a formula."""
    written = io.StringIO()
    csv.writer(written).writerow(f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell for cell in cells)
    return written.getvalue()
