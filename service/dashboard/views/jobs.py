"""The table of jobs: filter, search, sort; cancel, retry, choose for comparison; live."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.access.authentication import welcome
from service.dashboard.pages import fill, go, render
from service.dashboard.session_auth import TAKES_LONG, Form, OperatorHere, StoreDep, Visitor
from service.http.dependencies import AnnounceDep, ArtifactsDep, JobId, SettingsDep
from service.routes.jobs import again
from workers.errors import InvalidRequest
from workers.jobs.job import Kind, Priority, State
from workers.jobs.store import Store
from workers.jobs.store.listing import JobFilter, JobRows, Order
from workers.methods import METHODS

router = APIRouter()
PAGE = 50
POLL_S = 1.0
GROUPS = {
    "active": frozenset({State.QUEUED, State.RUNNING, State.CANCELING}),
    "succeeded": frozenset({State.SUCCEEDED}),
    "failed": frozenset({State.FAILED}),
    "canceled": frozenset({State.CANCELED}),
}
COLUMN_TITLES = {
    **{"state": "State", "size": "Smaller", "fidelity": "Answers", "speed": "Faster", "created": "Created"},
    **{"model": "Model", "owner": "Owner", "worker": "Worker"},
}
HIDDEN = ("model", "owner", "worker")  # until somebody asks for them
FALLING = {Order.CREATED, Order.FIDELITY, Order.SPEED}  # what people look for first is at this end


class JobTableQuery:
    """What the address asks for."""

    def __init__(
        self,
        state: Annotated[str, Query(max_length=20)] = "",
        method: Annotated[str, Query(max_length=40)] = "",
        model: Annotated[str, Query(max_length=64)] = "",
        dataset: Annotated[str, Query(max_length=64)] = "",
        q: Annotated[str, Query(max_length=200)] = "",
        sort: Order = Order.CREATED,
        falling: bool | None = None,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    ) -> None:
        fall = sort in FALLING if falling is None else falling
        files = model or None, dataset or None
        self.wanted = JobFilter(GROUPS.get(state, frozenset()), method or None, *files, q.strip(), sort, fall)
        self.page = page
        chosen = {"state": state, "method": method, "model": model, "dataset": dataset}
        self.query = {**chosen, "q": q, "sort": sort.value, "falling": falling}

    def link(self, **changes: Any) -> dict[str, Any]:
        """The query with some of it changed, as short as it can be."""
        plain = {"sort": Order.CREATED.value, "page": 1}
        query = {**self.query, "page": self.page, **changes}
        return {key: value for key, value in query.items() if value not in ("", None) and value != plain.get(key)}

    def sorted_by(self, order: Order) -> dict[str, Any]:
        """The query that sorts by that column, the other way round if it does already."""
        mine = order == self.wanted.order
        falling = not self.wanted.falling if mine else order in FALLING
        return self.link(sort=order.value, falling=None if falling == (order in FALLING) else falling, page=1)


Query_ = Annotated[JobTableQuery, Depends()]


@router.get("/")
def table(request: Request, store: StoreDep, _: Visitor, asked: Query_) -> Response:
    """A page of the table."""
    lines = store.listing.page(asked.wanted, asked.page, PAGE)
    methods = [str(method.model_fields["method"].default) for method in METHODS]
    return render(
        request,
        "jobs.html",
        **_table(asked, lines, store),
        counts=_counts(store),
        methods=methods,
        columns=COLUMN_TITLES,
        hidden=HIDDEN,
        groups=GROUPS,
        seen=_signature(lines),
        pages=max(1, -(-lines.total // PAGE)),
    )


@router.get("/live/jobs", response_class=EventSourceResponse, dependencies=TAKES_LONG)
async def live(request: Request, store: StoreDep, _: Visitor, asked: Query_, seen: str = "") -> AsyncIterator[ServerSentEvent]:
    """The rows of a page as they change: single ones, or all when others have come up."""
    known: dict[str, int] | None = None
    still = welcome(request)
    while await still():
        lines = await run_sync(store.listing.page, asked.wanted, asked.page, PAGE)
        now = {line.job.id: line.job.last_event for line in lines.items}
        if known is None and _signature(lines) == seen:
            known = now
        if known != now:
            for part, html in await run_sync(_changes, request, asked, lines, known or {}, store):
                yield ServerSentEvent(data={"id": part, "html": html}, event="replace")
        known = now
        await sleep(POLL_S)


def _changes(
    request: Request, asked: JobTableQuery, lines: JobRows, known: dict[str, int], store: Store
) -> list[tuple[str, str]]:
    """The parts of the page that are not as they were, by their ids."""
    parts = [("counts", fill(request, "parts/job_counts.html", counts=_counts(store), asked=asked, groups=GROUPS))]
    if list(known) != [line.job.id for line in lines.items]:
        return [*parts, ("rows", fill(request, "parts/job_rows.html", **_table(asked, lines, store)))]
    changed = [line for line in lines.items if known[line.job.id] != line.job.last_event]
    places = _places(lines, store)
    return parts + [(f"job-{line.job.id}", fill(request, "parts/job_row.html", line=line, places=places)) for line in changed]


@router.post("/jobs/{job_id}/cancel")
def cancel(request: Request, store: StoreDep, settings: SettingsDep, _: OperatorHere, fields: Form, job_id: JobId) -> Response:
    """End it, and back to where the button was."""
    store.jobs.cancel(job_id, settings.answer_s)
    return _back(request, fields, f"jobs/{job_id}")


@router.post("/jobs/{job_id}/priority")
def prioritize(request: Request, store: StoreDep, _: OperatorHere, fields: Form, job_id: JobId) -> Response:
    """Let it go before or after others."""
    try:
        priority = Priority(str(fields.get("priority", "")))
    except ValueError as error:
        raise InvalidRequest("There is no such priority.", hint=f"There are {', '.join(Priority)}.") from error
    store.jobs.prioritize(job_id, priority)
    return go(request, f"jobs/{job_id}")


@router.post("/jobs/{job_id}/retry")
def retry(
    request: Request, store: StoreDep, announce: AnnounceDep, principal: OperatorHere, fields: Form, job_id: JobId
) -> Response:
    """The same again, as a new job."""
    return go(request, f"jobs/{again(store, announce, principal.id, job_id).id}")


@router.post("/jobs/{job_id}/remove")
def remove(
    request: Request, store: StoreDep, artifacts: ArtifactsDep, _: OperatorHere, fields: Form, job_id: JobId
) -> Response:
    """Remove an ended job with its results."""
    store.retention.remove_job(job_id, lambda: artifacts.discard_job(job_id))
    return go(request, "")


def _back(request: Request, fields: Form, otherwise: str) -> Response:
    return go(request, "" if fields.get("from") == "table" else otherwise)


def _table(asked: JobTableQuery, lines: JobRows, store: Store) -> dict[str, Any]:
    return {"asked": asked, "lines": lines, "Order": Order, "places": _places(lines, store)}


def _places(lines: JobRows, store: Store) -> dict[str, int]:
    """Where the waiting jobs of the page stand in the queue."""
    waits = any(line.job.state == State.QUEUED for line in lines.items)
    return {job_id: number for number, job_id in enumerate(store.jobs.queue(), 1)} if waits else {}


def _counts(store: Store) -> dict[str, int]:
    by_state = {State(state): count for (kind, state), count in store.figures.jobs().items() if kind == Kind.COMPRESS}
    return {name: sum(by_state.get(state, 0) for state in states) for name, states in GROUPS.items()}


def _signature(lines: JobRows) -> str:
    return "".join(f"{line.job.id[:6]}{line.job.last_event:x}." for line in lines.items)
