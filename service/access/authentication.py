"""Who asks, and what they may do: API keys `fr_<id>_<secret>`, of which the store keeps a digest of the secret."""

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import structlog
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access import sessions
from service.access.audit import HARMLESS
from service.http.shared import Current
from workers.errors import Forbidden, Unauthenticated, Unavailable
from workers.jobs.database.scope import COMMON, Scope
from workers.jobs.records import ApiKey, Role
from workers.jobs.store import Store

log = structlog.get_logger(__name__)
ASK_AGAIN_S = 2.0
RANKS = list(Role)
bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer fr_...`")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds a valid key."""

    id: str
    name: str
    role: Role
    project: str = COMMON

    @property
    def scope(self) -> Scope:
        """Which models, datasets and jobs this one sees: those of its project; an administrator all."""
        return Scope(self.project, everything=self.role == Role.ADMIN)

    def may(self, role: Role) -> bool:
        """Whether this one may do what needs `role`."""
        return RANKS.index(self.role) >= RANKS.index(role)


ANYBODY = Principal("anonymous", "anonymous", Role.ADMIN)  # with authentication off


def issue(
    store: Store, name: str, role: Role, created_by: str, expires_in_s: float | None = None, project: str = COMMON
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can read again."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = store.keys.add(key_id, _digest(secret), name, role, created_by, expires_in_s, project)
    return key, f"fr_{key_id}_{secret}"


def verify_key(store: Store, text: str) -> Principal:
    """The holder of the key. Raises Unauthenticated, for whatever reason with the same words."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    known = store.keys.valid(key_id) if prefix == "fr" and key_id.isalnum() and key_id.isascii() else None
    key, digest = known or (None, _digest(""))
    if not hmac.compare_digest(digest, _digest(secret)) or key is None:
        raise Unauthenticated
    try:
        store.keys.used(key)
    except Unavailable as error:  # whoever only reads needs no disk to write on
        log.warning("use of a key not noted", key=key.id, reason=error.message)
    return principal_of(key)


def principal_of(key: ApiKey) -> Principal:
    """The holder of a valid key."""
    return Principal(key.id, key.name, key.role, key.project)


def _digest(secret: str) -> str:
    """The secret is 256 random bits: a slow hash would guard nothing more."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Recognition:
    """Whom a key, or the token of a session, stands for; many requests of one client ask the store once."""

    def __init__(self, store: Store) -> None:
        self.key = Current(store.version, partial(verify_key, store))
        self.session = Current(store.version, partial(sessions.holder, store))


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """The holder of the key that came with the request. Raises Unauthenticated, RateLimited."""
    state = request.app.state
    address = request.client.host if request.client else ""
    principal = ANYBODY
    if state.settings.auth:
        try:
            principal = await _known(request, credentials.credentials if credentials else None)
        except Unauthenticated:
            state.failures.take(address)  # a right key is never declined for the wrong ones of a neighbour
            raise
    state.requests.take(principal.id)
    request.state.principal = principal
    return principal


async def _known(request: Request, key: str | None) -> Principal:
    """The holder of the key, or else of the session. Raises Unauthenticated; Forbidden for a forgery."""
    recognition: Recognition = request.app.state.recognition
    token = request.cookies.get(sessions.COOKIE, "")
    if key is not None or not token:
        return await recognition.key(key or "")
    held = await recognition.session(token)
    if held is None:
        raise Unauthenticated
    request.state.principal = principal_of(held)  # so that a forgery is noted as what was tried in whose name
    shown = request.headers.get(sessions.FORGERY_HEADER, "")
    if request.method not in HARMLESS and not sessions.is_ours(request, token, shown):
        raise Forbidden(f"A session may change something only with the header {sessions.FORGERY_HEADER} of its page.")
    return principal_of(held)


class Welcome:
    """Whether what opened a stream still opens it: the key may be revoked, the session ended, while it goes on."""

    def __init__(self, stands: Callable[[], object]) -> None:
        self._stands = stands
        self._asked = time.monotonic()

    async def __call__(self) -> bool:
        """Asks again every few seconds; a store that does not answer ends nothing."""
        if time.monotonic() - self._asked < ASK_AGAIN_S:
            return True
        self._asked = time.monotonic()
        try:
            return bool(await run_sync(self._stands))
        except Unavailable:
            return True


def welcome(request: Request) -> Welcome:
    """For the stream that answers an authenticated request."""
    state = request.app.state
    principal: Principal = request.state.principal
    token = request.cookies.get(sessions.COOKIE, "")
    if not state.settings.auth:
        return Welcome(lambda: True)
    if "authorization" in request.headers or not token:
        return Welcome(lambda: state.store.keys.valid(principal.id))
    return Welcome(lambda: sessions.holder(state.store, token))


class Needs:
    """A dependency: the principal, if it has the role. Raises Forbidden."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if not principal.may(self.role):
            raise Forbidden(f"This needs the role {self.role}; the key {principal.name!r} is a {principal.role}'s.")
        return principal


async def pass_through(request: Request, principal: Annotated[Principal, Depends(authenticate)]) -> AsyncIterator[None]:
    """A place among the requests of a key that take long, until the answer has left. Raises RateLimited."""
    async with request.app.state.turnstile.passage(principal.id):
        yield


async def _store(request: Request, principal: Annotated[Principal, Depends(authenticate)]) -> Store:
    store: Store = request.app.state.store
    return store.seen_by(principal.scope)


StoreDep = Annotated[Store, Depends(_store)]
TAKES_LONG = [Depends(pass_through)]
Viewer = Annotated[Principal, Depends(Needs(Role.VIEWER))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN))]
