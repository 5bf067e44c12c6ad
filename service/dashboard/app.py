"""The dashboard as an application under the API's: wiring, headers, and errors as pages."""

from contextlib import suppress
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.dashboard import static_files
from service.dashboard.pages import address, render
from service.dashboard.session_auth import visitor
from service.dashboard.views import (
    access,
    assets,
    compare,
    fractals,
    help,
    job,
    jobs,
    login,
    new,
    openid,
    sample,
    selected,
    workers,
)
from service.http.errors import status_of
from workers import errors

log = structlog.get_logger(__name__)
PATH = "/ui"
ROUTERS = (
    *(login.router, openid.router, selected.router, jobs.router, job.router, new.router, compare.router, fractals.router),
    *(assets.router, workers.router, access.router, help.router, sample.router, static_files.router),
)
FORM_BYTES = 1 << 20
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Guard:
    """ASGI middleware: the headers that every page carries, unless it brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in HEADERS.items() if name not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, guarded)


def create_dashboard(state: State) -> FastAPI:
    """The pages, over the store and the files in the API's `state`."""
    app = FastAPI(openapi_url=None, middleware=[Middleware(Guard)])
    app.state = state
    app.add_exception_handler(errors.Unauthenticated, _sign_in)
    app.add_exception_handler(errors.FractuneError, _fractune_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    for router in ROUTERS:
        app.include_router(router, max_body_size=FORM_BYTES)
    return app


async def _sign_in(request: Request, error: Exception) -> Response:
    """To the login, and from there to where the visitor wanted to go."""
    back = request.url.path if request.method == "GET" else ""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(address(request, "login", next=back + query if back else None), 303)


async def _fractune_error(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, errors.FractuneError)
    return await _page(request, status_of(error), error)


async def _invalid_request(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, RequestValidationError)
    if any(fault["loc"][0] == "path" for fault in error.errors()):
        return await _page(request, 404, errors.NotFound(f"There is nothing at {request.url.path}."))
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:]))
    return await _page(request, 422, errors.InvalidRequest(f"{where}: {first['msg']}", hint="Go back and correct it."))


async def _http_error(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    said = "There is no such page." if error.status_code == 404 else f"{error.detail}."
    declined = errors.NotFound(said, hint=f"{request.url.path} leads nowhere: start from the jobs.")
    return await _page(request, error.status_code, declined)


async def _unexpected(request: Request, error: Exception) -> HTMLResponse:
    log.error("page failed", method=request.method, path=request.url.path, exc_info=error)
    return await _page(request, 500, errors.Internal(hint="Report it with the log of the service."))


async def _page(request: Request, status: int, error: errors.FractuneError) -> HTMLResponse:
    if not hasattr(request.state, "principal"):  # no route has asked who it is; without, the page has no navigation
        with suppress(errors.FractuneError):
            await visitor(request)
    return render(request, "error.html", status, error=error, status=status)
