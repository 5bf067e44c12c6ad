"""Notes every request that changes something, or tries to, with who made it and how it ended."""

import structlog
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.errors import Unavailable
from workers.jobs.store import Store

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
log = structlog.get_logger(__name__)


class Auditor:
    """ASGI middleware: the note is kept before the answer leaves. Authentication put the principal in the request's state."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in HARMLESS:
            return await self._app(scope, receive, send)
        noted = False

        async def note_first(message: Message) -> None:
            nonlocal noted
            if message["type"] == "http.response.start":
                noted = True
                await run_sync(self._note, scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note_first)
        finally:
            if not noted:
                await run_sync(self._note, scope, 500)

    def _note(self, scope: Scope, status: int) -> None:
        principal = scope.get("state", {}).get("principal")
        if principal is None:
            return
        address = scope["client"][0] if scope.get("client") else ""
        action = f"{scope['method']} {getattr(scope.get('route'), 'path', scope['path'])}"
        entry = {"actor": principal.id, "address": address, "action": action, "target": scope["path"], "status": status}
        log.info("request", **entry)
        try:
            self._store.audit.note(**entry)
        except Unavailable as error:
            log.error("request not in the audit log", reason=error.message)
