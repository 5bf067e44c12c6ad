"""Sign in with an API key, or with a link that the service has printed; sign out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.access.authentication import Principal, principal_of, verify_key
from service.access.sessions import TICKET, close_session, holder, open_session, redeem_ticket, set_cookie
from service.dashboard.pages import go, inside, render, service_root, token_of
from service.dashboard.session_auth import Form
from workers.errors import Unauthenticated
from workers.jobs.store import Store

router = APIRouter()


@router.get("/login")
def show(request: Request, next: Annotated[str, Query(max_length=2000)] = "", left: str = "") -> Response:
    """The form; a link may carry the key behind its #, which browsers keep to themselves."""
    return render(request, "login.html", next=next, wrong="", left=bool(left))


@router.post("/login")
def sign_in(request: Request, fields: Form) -> Response:
    """Open a session for the key."""
    store = request.app.state.store
    request.app.state.requests.take("login")
    after = str(fields.get("next", ""))
    try:
        request.state.principal = principal = _principal(store, str(fields.get("key", "")).strip())
    except Unauthenticated:
        request.app.state.failures.take(request.client.host if request.client else "")
        return render(request, "login.html", 401, next=after, wrong="key", left=False)
    response = inside(request, after)
    set_cookie(response, request, open_session(store, principal.id), f"{service_root(request)}/")
    return response


@router.post("/logout")
def sign_out(request: Request, fields: Form) -> Response:
    """End the session, for every process and every tab."""
    store, token = request.app.state.store, token_of(request)
    if key := holder(store, token):
        request.state.principal = principal_of(key)
    close_session(store, token)
    provider = request.app.state.provider
    response = go(request, "login", left="1" if key and provider and provider.vouches_for(key.created_by) else None)
    response.headers["clear-site-data"] = '"cache"'
    return response


def _principal(store: Store, text: str) -> Principal:
    """Whoever the key, or the link, stands for. Raises Unauthenticated."""
    if not text.startswith(TICKET):
        return verify_key(store, text)
    key = redeem_ticket(store, text.removeprefix(TICKET))
    if key is None:
        raise Unauthenticated
    return principal_of(key)
