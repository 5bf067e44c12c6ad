"""Notes every request that changes something, or tries to, with who made it and how it ended."""

import structlog
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.throttle import Throttle
from workers.errors import RateLimited, Unavailable
from workers.jobs.store import Store

NOBODY = "unknown"  # who showed no key, or none that is valid
TOO_MANY = 429
REFUSED = frozenset({401, 403})
STRANGERS_PER_MINUTE = 60  # notes on those of one address
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
log = structlog.get_logger(__name__)


class Auditor:
    """ASGI middleware: the note is kept before the answer leaves. Authentication put the principal in the request's state."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store
        self._strangers = Throttle(STRANGERS_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answered = False

        async def note_first(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if self._matters(scope, message["status"]):
                    await run_sync(self._note, scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note_first)
        finally:
            if not answered and scope["method"] not in HARMLESS and scope.get("state", {}).get("principal"):
                await run_sync(self._note, scope, 500)

    @staticmethod
    def _matters(scope: Scope, status: int) -> bool:
        """What changes something or opens a session, and what was refused to somebody or to nobody we know."""
        state = scope.get("state", {})
        known = state.get("principal") is not None
        harmless = scope["method"] in HARMLESS or (status < 300 and state.get("changes_nothing"))
        changes = not harmless and status != TOO_MANY  # which was declined before anything was tried
        return status in REFUSED or bool(state.get("signed_in")) or (changes and known)

    def _note(self, scope: Scope, status: int) -> None:
        principal = scope.get("state", {}).get("principal")
        address = scope["client"][0] if scope.get("client") else ""
        if principal is None:
            try:
                self._strangers.take(address)  # whom we do not know must not fill the store
            except RateLimited:
                return
        action = f"{scope['method']} {getattr(scope.get('route'), 'path', scope['path'])}"
        entry = {
            "actor": principal.id if principal else NOBODY,
            "address": address,
            "action": action,
            "target": scope["path"],
            "status": status,
        }
        log.info("request", **entry)
        try:
            self._store.audit.note(**entry)
        except Unavailable as error:
            log.error("request not in the audit log", reason=error.message)
