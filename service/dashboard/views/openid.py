"""Sign in through the identity provider; nothing of it is there where none is set."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from service.access.authentication import principal_of
from service.access.openid import ATTEMPT_S, Attempt, Provider
from service.access.sessions import SESSION_S, close_session, open_session, set_cookie
from service.dashboard.pages import inside, render, service_root, token_of
from workers.errors import Forbidden, NotFound, Unauthenticated

router = APIRouter()
COOKIE = "fractune_openid"
Short = Annotated[str, Query(max_length=4096)]


def _provider(request: Request) -> Provider:
    """The one of the settings. Raises NotFound without one; RateLimited."""
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotFound(f"There is nothing at {request.url.path}.")
    request.app.state.requests.take("login")
    return provider


ProviderDep = Annotated[Provider, Depends(_provider)]


@router.get("/openid")
def leave(request: Request, provider: ProviderDep, next: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """To the provider, with a cookie that knows the way back."""
    attempt = Attempt.begin()
    response = RedirectResponse(provider.address(attempt, redirect_uri(request, provider)), 303)
    _keep(response, request, f"{attempt.text} {next}" if next.isascii() and next.isprintable() else attempt.text)
    return response


@router.get("/openid/return")
def come_back(
    request: Request, provider: ProviderDep, code: Short = "", state: Short = "", iss: Annotated[str | None, Query()] = None
) -> Response:
    """Open a session for whom the provider vouches for."""
    text, _, after = request.cookies.get(COOKIE, "").strip('"').partition(" ")
    store = request.app.state.store
    try:
        attempt = Attempt(text)
        if not code or not attempt.fits(state) or not provider.issued(iss):
            raise Unauthenticated
        who = provider.identify(attempt, code, redirect_uri(request, provider))
        if not store.identities.spend(attempt.derived("spent"), ATTEMPT_S * 2):
            raise Unauthenticated
        key = store.identities.admit(who.id, who.subject, who.name, who.role, who.project, SESSION_S)
    except (Unauthenticated, Forbidden) as error:
        request.app.state.failures.take(request.client.host if request.client else "")
        if isinstance(error, Forbidden):
            raise
        declined = render(request, "login.html", 401, next=after, wrong="provider", left=False)
        _keep(declined, request, "")
        return declined
    request.state.principal, request.state.signed_in = principal_of(key), True
    close_session(store, token_of(request))
    response = inside(request, after)
    _keep(response, request, "")
    set_cookie(response, request, open_session(store, key.id), f"{service_root(request)}/")
    return response


@router.get("/openid/end")
def end(request: Request, provider: ProviderDep) -> Response:
    """To where the provider's own session is ended; ours has ended already."""
    back = redirect_uri(request, provider).removesuffix("/openid/return") + "/login"
    return RedirectResponse(provider.end(back) or back, 303)


def redirect_uri(request: Request, provider: Provider) -> str:
    """Where the provider sends people back, as it has to know."""
    base = f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"
    return provider.settings.redirect_uri or f"{base}/openid/return"


def _keep(response: Response, request: Request, text: str) -> None:
    """The cookie of a sign-in under way; none for an empty text."""
    secure, path = request.url.scheme == "https", f"{request.scope['root_path']}/openid"
    age = int(ATTEMPT_S) if text else 0
    response.set_cookie(COOKIE, text, max_age=age, path=path, secure=secure, httponly=True, samesite="lax")
