"""Sign in with an API key, or with a link that the service has printed; sign out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.access.authentication import verify_key
from service.access.sessions import TICKET, close_session, open_session, redeem_ticket, set_cookie
from service.dashboard.pages import go, render, service_root, token_of
from service.dashboard.session_auth import Form
from service.http.dependencies import StoreDep
from workers.errors import Unauthenticated
from workers.jobs.store import Store

router = APIRouter()


@router.get("/login")
def show(request: Request, next: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """The form; a link may carry the key behind its #, which browsers keep to themselves."""
    return render(request, "login.html", next=next, wrong=False)


@router.post("/login")
def sign_in(request: Request, store: StoreDep, fields: Form) -> Response:
    """Open a session for the key."""
    request.app.state.requests.take("login")
    after = str(fields.get("next", ""))
    try:
        key_id = _key_of(store, str(fields.get("key", "")).strip())
    except Unauthenticated:
        request.app.state.failures.take(request.client.host if request.client else "")
        return render(request, "login.html", 401, next=after, wrong=True)
    root = request.scope["root_path"]
    response = go(request, "")
    if after.startswith(f"{root}/") and "\\" not in after:  # never to another site
        response.headers["location"] = after
    set_cookie(response, request, open_session(store, key_id), f"{service_root(request)}/")
    return response


@router.post("/logout")
def sign_out(request: Request, store: StoreDep, fields: Form) -> Response:
    """End the session, for every process and every tab."""
    close_session(store, token_of(request))
    response = go(request, "login")
    response.headers["clear-site-data"] = '"cache"'
    return response


def _key_of(store: Store, text: str) -> str:
    """The id of the key. Raises Unauthenticated."""
    if not text.startswith(TICKET):
        return verify_key(store, text).id
    key = redeem_ticket(store, text.removeprefix(TICKET))
    if key is None:
        raise Unauthenticated
    return key.id
