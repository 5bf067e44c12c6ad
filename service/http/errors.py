"""Errors as problem+json (RFC 9457): one table from error class to status."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from service.http.schemas import HASH
from workers import errors
from workers.recipe import Recipe
from workers.recipe.faults import without_place

log = structlog.get_logger(__name__)

STATUS: Mapping[type[errors.FractuneError], int] = {
    errors.Refusal: 422,
    errors.InvalidRequest: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.MalformedRequest: 400,
    errors.HeadersTooLarge: 431,
    errors.RequestTimedOut: 408,
    errors.ChecksumMismatch: 409,
    errors.QuotaExceeded: 507,
    errors.StorageFull: 507,
    errors.IdempotencyMismatch: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}
HEADERS: Mapping[type[errors.FractuneError], dict[str, str]] = {
    errors.Unauthenticated: {"WWW-Authenticate": "Bearer"},
    errors.Unavailable: {"Retry-After": "5"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HTTP_CODES = {404: errors.NotFound.code, 405: "METHOD_NOT_ALLOWED", 413: errors.TooLarge.code, 415: "UNSUPPORTED_MEDIA_TYPE"}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON pointer into the body, or the name of the parameter.")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; `hint` says what to do."""

    type: str = Field(description="URN of the kind of error.")
    title: str
    status: int
    detail: str
    code: str
    hint: str
    errors: list[Fault] = []


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": "See `code`.", "model": Problem, "content": {"application/problem+json": {}}}
    for status in ("4XX", "5XX")
}


def install_handlers(app: FastAPI) -> None:
    """Let every error of `app` leave it as a problem."""
    app.add_exception_handler(errors.FractuneError, _fractune_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: errors.FractuneError) -> int:
    """The HTTP status that tells of `error`."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(error: errors.FractuneError, faults: list[Fault] | None = None) -> JSONResponse:
    """The response to `error`."""
    status = status_of(error)
    title = (type(error).__doc__ or "").strip()
    headers = HEADERS.get(type(error), {}) | error.details.get("headers", {})
    return _respond(status, error.code, title, error.message, error.hint, faults or [], headers)


def _respond(
    status: int, code: str, title: str, detail: str, hint: str, faults: list[Fault], headers: Mapping[str, str] | None
) -> JSONResponse:
    body = Problem(
        type=f"urn:fractune:{code.lower()}", title=title, status=status, detail=detail, code=code, hint=hint, errors=faults
    )
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


async def _fractune_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.FractuneError)
    return problem(error)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = {pointer(fault["loc"], error.body): _in_words(fault) for fault in reversed(error.errors())}
    # a list whose only item is wrong is reported as too short, too
    if any(fault["loc"][0] == "path" for fault in error.errors()):
        return problem(errors.NotFound(f"There is nothing at {request.url.path}."))
    faults = [
        Fault(pointer=where, message=message)
        for where, message in reversed(found.items())
        if not any(other.startswith(f"{where}/") for other in found)
    ]
    first = f"{faults[0].pointer}: {faults[0].message}"
    kind = errors.InvalidRecipe if faults[0].pointer.startswith("/recipe") else errors.InvalidRequest
    return problem(kind(first), faults)


def _in_words(fault: Mapping[str, Any]) -> str:
    """What is wrong, with what may be meant, and where a hash is had from."""
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == HASH:
        return "A SHA-256 has 64 digits, 0 to 9 and a to f: upload the file, and take the `sha256` of the answer."
    recipe = "recipe" in fault["loc"] or fault["loc"][1:2] == ("steps",)
    return without_place(fault, _recipe_schema()) if recipe else str(fault["msg"])


@cache
def _recipe_schema() -> dict[str, Any]:
    return Recipe.model_json_schema()


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the framework declines: no such path, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, errors.InvalidRequest.code)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
    return _respond(error.status_code, code, error.detail, detail, errors.InvalidRequest.hint, [], headers)


def _methods(request: Request) -> list[str]:
    """All methods of a path; the framework names those of the first route that has it."""
    verb = ":" in request.url.path.rpartition("/")[2]  # /jobs/{id}:cancel would pass for a /jobs/{id}, too
    scopes = {method: {**request.scope, "method": method} for method in (("POST",) if verb else METHODS)}
    routes = request.app.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] == Match.FULL for route in routes)]


async def _gone(request: Request, error: Exception) -> JSONResponse:
    """The client left in the middle of its request; nobody reads this."""
    return problem(errors.RequestTimedOut())


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """The border: whatever we did not foresee is logged, and told without its inside."""
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(errors.Internal(hint="Report it with the log of the service."))


def pointer(location: tuple[int | str, ...], body: Any) -> str:
    """Where in the request a fault is. Pydantic names the members of unions on the way; they are not in the body."""
    source, *rest = location
    if source != "body":
        return str(rest[-1] if rest else source)
    path = ""
    for index, part in enumerate(rest):
        inside = _holds(body, part)
        if inside:
            body = body[part]
        if inside or index == len(rest) - 1:
            path += "/" + str(part).replace("~", "~0").replace("/", "~1")
    return path or "/"


def _holds(body: Any, part: int | str) -> bool:
    if isinstance(body, list):
        return isinstance(part, int) and part < len(body)
    return isinstance(body, dict) and part in body
