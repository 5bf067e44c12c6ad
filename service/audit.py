"""Notes every request that changes something, or tries to, with who made it and how it ended."""

import structlog
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.errors import Unavailable
from workers.jobs.store import Store

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
log = structlog.get_logger(__name__)


class Auditor:
    """ASGI middleware. The principal is where authentication put it: in the state of the request."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in HARMLESS:
            return await self._app(scope, receive, send)
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            await run_sync(self._note, scope, status)

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
