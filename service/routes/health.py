"""Is it alive, can it work, how is it doing. No key is asked for liveness and readiness."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.access.authentication import Viewer

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "`checks` says what is missing."}})
def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Jobs can be taken in and done: store, broker, disk and a worker are there."""
    checks = request.app.state.readiness()
    ready = all(check == "ok" for check in checks.values())
    response.status_code = 200 if ready else 503
    return {"status": "ok" if ready else "unavailable", "checks": checks}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, _: Viewer) -> Response:
    """Figures for Prometheus."""
    content, content_type = request.app.state.metrics()
    return Response(content, media_type=content_type)
