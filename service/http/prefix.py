"""The path prefix under which a proxy publishes the service: configured, or told by X-Forwarded-Prefix."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]+)+")


class Prefixed:
    """ASGI middleware: links begin with the prefix, and the path has it whether or not the proxy took it off.

    A configured root_path comes first; a malformed prefix is ignored.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._configured = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root = self._configured or _forwarded(scope)
            scope["root_path"] = root
            if root and not scope["path"].startswith(f"{root}/"):
                scope["path"] = root + scope["path"]
        await self._app(scope, receive, send)


def _forwarded(scope: Scope) -> str:
    prefix: bytes = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").rstrip(b"/")
    return prefix.decode() if PREFIX.fullmatch(prefix) else ""
