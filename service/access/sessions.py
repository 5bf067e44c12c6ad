"""Browsers: a session cookie in place of an API key, and the token that says a request came from a page of ours.

The cookie holds 256 random bits, of which the store keeps a digest, so that any API process knows it and signing out ends it.
The token against forged requests is a digest of the cookie: whoever cannot read the cookie cannot make it.
"""

import hashlib
import hmac
import secrets

from fastapi import Request
from fastapi.responses import Response

from workers.jobs.records import ApiKey
from workers.jobs.store import Store

TICKET = "once_"  # begins what a link carries in place of a key
COOKIE = "fractune_session"
FORGERY_HEADER = "X-CSRF-Token"
SESSION_S = 12 * 3600.0
TICKET_S = 600.0  # a link that signs in, once


def open_session(store: Store, key_id: str) -> str:
    """A new session; its token."""
    token = new_token()
    store.sessions.open(_digest(token), key_id, SESSION_S)
    return token


def issue_ticket(store: Store, key_id: str) -> str:
    """What a link carries that signs in, once and soon; it opens nothing else."""
    ticket = new_token()
    store.tickets.issue(_digest(f"ticket {ticket}"), key_id, TICKET_S)
    return ticket


def redeem_ticket(store: Store, ticket: str) -> ApiKey | None:
    """The key that it stands for, this once."""
    return store.tickets.redeem(_digest(f"ticket {ticket}"))


def new_token() -> str:
    """What a cookie holds."""
    return secrets.token_urlsafe(32)


def holder(store: Store, token: str) -> ApiKey | None:
    """The key that the session stands for, if it still stands."""
    return store.sessions.holder(_digest(token)) if token else None


def close_session(store: Store, token: str) -> bool:
    """End it; True for the one caller that ended it."""
    return store.sessions.close(_digest(token))


def forgery_token(token: str) -> str:
    """What a form carries that came from us, given the cookie's token."""
    return _digest(f"form {token}")


def is_ours(request: Request, token: str, shown: str) -> bool:
    """Whether a request that changes something came from a page of ours: it shows the token, and the browser agrees."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    return site in ("same-origin", "none") and hmac.compare_digest(
        forgery_token(token).encode(), shown.encode(errors="replace")
    )


def set_cookie(response: Response, request: Request, token: str, path: str) -> None:
    """Out of the reach of scripts, of other sites' forms, and over TLS, where we are behind it, of the network."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_S),
        path=path,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
