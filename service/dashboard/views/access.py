"""Keys and the audit log, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError

from service.access.authentication import issue
from service.dashboard.pages import go, render
from service.dashboard.session_auth import AdminHere, Form, StoreDep
from service.http.dependencies import Cursor
from service.http.schemas import KeyCreate
from workers.errors import InvalidRequest
from workers.jobs.records import Role

router = APIRouter()
ENTRIES = 50


@router.get("/access")
def page(
    request: Request,
    store: StoreDep,
    _: AdminHere,
    cursor: Cursor = None,
    before: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """Keys, newest first, and what was done with them."""
    return _page(request, store, cursor, before)


@router.post("/access")
def create(request: Request, store: StoreDep, principal: AdminHere, fields: Form) -> Response:
    """A new key, shown on the page that answers and never again."""
    names = ("name", "role", "project", "expires_in_s")
    asked = {name: value for name in names if (value := fields.get(name))}
    try:
        wanted = KeyCreate.model_validate(asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(f"{first['loc'][-1]}: {first['msg']}.", hint="Go back and correct it.") from error
    _, text = issue(store, wanted.name, wanted.role, principal.id, wanted.expires_in_s, wanted.project)
    return _page(request, store, issued=text)


@router.post("/access/{key_id}/revoke")
def revoke(
    request: Request, store: StoreDep, _: AdminHere, fields: Form, key_id: Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
) -> Response:
    """From now on the key opens nothing, nor do its sessions."""
    store.keys.revoke(key_id)
    return go(request, "access")


def _page(
    request: Request, store: StoreDep, cursor: str | None = None, before: int | None = None, issued: str = ""
) -> Response:
    keys = store.keys.page(cursor, ENTRIES)
    names = {key.id: key.name for key in keys.items}
    entries = store.audit.page(before, ENTRIES)
    return render(
        request,
        "access.html",
        keys=keys,
        names=names,
        entries=entries,
        roles=list(Role),
        issued=issued,
        more=len(entries) == ENTRIES,
    )
