"""A path prefix that a proxy takes off before it passes a request on, told by X-Forwarded-Prefix."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]+)+")


class ForwardedPrefix:
    """ASGI middleware: links begin with the prefix. A configured root_path comes first; a malformed prefix is ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            prefix = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").rstrip(b"/")
            if PREFIX.fullmatch(prefix):
                scope["root_path"] = prefix.decode()
        await self._app(scope, receive, send)
