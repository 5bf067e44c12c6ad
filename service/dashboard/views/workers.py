"""The queue and who works it off."""

from collections.abc import AsyncIterator
from typing import Any

from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.access.authentication import welcome
from service.dashboard.pages import fill, render
from service.dashboard.session_auth import TAKES_LONG, StoreDep, Visitor
from service.http.readiness import SILENCES
from workers.jobs.job import Kind, State
from workers.jobs.store import Store

router = APIRouter()
POLL_S = 2.0


@router.get("/workers")
def page(request: Request, store: StoreDep, _: Visitor) -> Response:
    """Workers with their machines, and what waits for them."""
    return render(request, "workers.html", **_known(request, store))


@router.get("/live/workers", response_class=EventSourceResponse, dependencies=TAKES_LONG)
async def live(request: Request, store: StoreDep, _: Visitor) -> AsyncIterator[ServerSentEvent]:
    """The same as it changes."""
    shown, still = "", welcome(request)
    while await still():
        html = await run_sync(lambda: fill(request, "parts/workers_now.html", **_known(request, store)))
        if html != shown:
            yield ServerSentEvent(data={"id": "workers-now", "html": html}, event="replace")
        shown = html
        await sleep(POLL_S)


def _known(request: Request, store: Store) -> dict[str, Any]:
    workers = store.workers.list()
    counts, inspections = {state: 0 for state in State}, {state: 0 for state in State}
    for (kind, state), count in store.figures.jobs().items():
        (counts if kind == Kind.COMPRESS else inspections)[State(state)] += count
    busy = {line.job.id: line for line in store.listing.lines([worker.job_id for worker in workers if worker.job_id])}
    patience_s = SILENCES * request.app.state.settings.heartbeat_s
    checks = request.app.state.readiness()
    told = {"workers": workers, "counts": counts, "inspections": inspections}
    return {**told, "busy": busy, "patience_s": patience_s, "checks": checks}
