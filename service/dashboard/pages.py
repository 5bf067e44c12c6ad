"""Pages out of templates: what every page knows, and the addresses that it links to."""

from functools import cache
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader

from service.access.sessions import COOKIE, forgery_token, new_token, set_cookie
from service.dashboard import formatting
from service.dashboard.static_files import version_of
from workers.jobs.job import State
from workers.recipe.assumptions import pixel_hint
from workers.report.page import report_environment


@cache
def dashboard_environment() -> Environment:
    """The dashboard's templates, and the report's, in the same words."""
    made = report_environment(PackageLoader("service.dashboard"), source=str)
    made.filters |= {name: getattr(formatting, name) for name in formatting.FILTERS}
    made.filters["pixel_hint"] = pixel_hint
    made.globals |= {"State": State, "words": formatting}
    return made


def address(request: Request, path: str, **query: Any) -> str:
    """Of a page; values of None are left out."""
    given = [(key, value) for key, value in query.items() if value is not None]
    return f"{request.scope['root_path']}/{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")


def service_root(request: Request) -> str:
    """The path under which the whole service is published; empty without a prefix."""
    return str(request.scope["root_path"]).rpartition("/")[0]


def known(request: Request) -> dict[str, Any]:
    """What every template may use."""
    root = request.scope["root_path"]
    return {
        "root": root,
        "api": f"{service_root(request)}/v1",
        "origin": f"{request.url.scheme}://{request.url.netloc}{service_root(request)}",
        "here": request.url.path.removeprefix(root),
        "csrf": forgery_token(token_of(request)),
        "principal": getattr(request.state, "principal", None),
        "provider": request.app.state.provider,
        "auth": request.app.state.settings.auth,
        "static": lambda name: f"{root}/static/{name}?v={version_of(name)}",
        "link": lambda path, **query: address(request, path, **query),
    }


def fill(request: Request, template: str, **context: Any) -> str:
    """A template, or a part of a page."""
    return dashboard_environment().get_template(template).render(**known(request), **context)


def render(request: Request, template: str, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A page. Gives the browser the cookie that its forms need, if it has none."""
    response = HTMLResponse(fill(request, template, **context), status_code)
    if COOKIE not in request.cookies:
        set_cookie(response, request, token_of(request), f"{service_root(request)}/")
    return response


def go(request: Request, path: str, **query: Any) -> RedirectResponse:
    """To another page after something was done."""
    return RedirectResponse(address(request, path, **query), 303)


def inside(request: Request, after: str) -> RedirectResponse:
    """To where a visitor wanted to go before signing in; never to another site."""
    if after.startswith(f"{request.scope['root_path']}/") and "\\" not in after:
        return RedirectResponse(after, 303)  # which quotes what no header may hold
    return go(request, "")


def token_of(request: Request) -> str:
    """Of the cookie; a new one where there is none."""
    if not hasattr(request.state, "token"):
        request.state.token = request.cookies.get(COOKIE) or new_token()
    return str(request.state.token)
