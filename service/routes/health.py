"""Is it alive, can it work, how is it doing. No key is asked for liveness and readiness."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.access.authentication import Viewer

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers; no thread is asked for it, as all may be waiting for a part that is away."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "`checks` says what is missing."}})
def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Jobs can be taken in and done: store, clock, broker, disk, a worker and periodic tasks are as they should be.

    `absent_layers` names, by worker, what does not confine its jobs; see docs/security.
    """
    readiness = request.app.state.readiness
    checks = readiness()
    ready = all(check == "ok" for check in checks.values())
    response.status_code = 200 if ready else 503
    status = "ok" if ready else "unavailable"
    return {"status": status, "checks": checks, "absent_layers": readiness.absent_layers()}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, _: Viewer) -> Response:
    """Figures for Prometheus."""
    content, content_type = request.app.state.metrics()
    return Response(content, media_type=content_type)
