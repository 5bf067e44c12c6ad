"""Who asks, and what they may do: API keys `fr_<id>_<secret>`, of which the store keeps a digest of the secret."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access import sessions
from service.access.audit import HARMLESS
from workers.errors import Forbidden, Unauthenticated
from workers.jobs.records import ApiKey, Role
from workers.jobs.store import Store

RANKS = list(Role)
bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer fr_...`")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds a valid key."""

    id: str
    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this one may do what needs `role`."""
        return RANKS.index(self.role) >= RANKS.index(role)


ANYBODY = Principal("anonymous", "anonymous", Role.ADMIN)  # with authentication off


def issue(store: Store, name: str, role: Role, created_by: str, expires_in_s: float | None = None) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can read again."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return store.keys.add(key_id, _digest(secret), name, role, created_by, expires_in_s), f"fr_{key_id}_{secret}"


def verify_key(store: Store, text: str) -> Principal:
    """The holder of the key. Raises Unauthenticated, for whatever reason with the same words."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    known = store.keys.valid(key_id) if prefix == "fr" and key_id.isalnum() and key_id.isascii() else None
    key, digest = known or (None, _digest(""))
    if not hmac.compare_digest(digest, _digest(secret)) or key is None:
        raise Unauthenticated
    store.keys.used(key)
    return Principal(key.id, key.name, key.role)


def _digest(secret: str) -> str:
    """The secret is 256 random bits: a slow hash would guard nothing more."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def authenticate(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Principal:
    """The holder of the key that came with the request. Raises Unauthenticated, RateLimited."""
    state = request.app.state
    address = request.client.host if request.client else ""
    principal = ANYBODY
    if state.settings.auth:
        try:
            principal = _known(request, credentials.credentials if credentials else None)
        except Unauthenticated:
            state.failures.take(address)  # a right key is never declined for the wrong ones of a neighbour
            raise
    state.requests.take(principal.id)
    request.state.principal = principal
    return principal


def _known(request: Request, key: str | None) -> Principal:
    """The holder of the key, or else of the session. Raises Unauthenticated; Forbidden for a forgery."""
    token = request.cookies.get(sessions.COOKIE, "")
    if key is not None or not token:
        return verify_key(request.app.state.store, key or "")
    held = sessions.holder(request.app.state.store, token)
    if held is None:
        raise Unauthenticated
    shown = request.headers.get(sessions.FORGERY_HEADER, "")
    if request.method not in HARMLESS and not sessions.is_ours(request, token, shown):
        raise Forbidden(f"A session may change something only with the header {sessions.FORGERY_HEADER} of its page.")
    return Principal(held.id, held.name, held.role)


class Needs:
    """A dependency: the principal, if it has the role. Raises Forbidden."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if not principal.may(self.role):
            raise Forbidden(f"This needs the role {self.role}; the key {principal.name!r} is a {principal.role}'s.")
        return principal


Viewer = Annotated[Principal, Depends(Needs(Role.VIEWER))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN))]
