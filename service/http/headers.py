"""What every response carries, and the one answer of the framework that is no problem+json."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import problem
from workers.errors import TooLarge

CAREFUL = {b"x-content-type-options": b"nosniff", b"cache-control": b"no-store"}
TOO_LARGE = 413


class Careful:
    """ASGI middleware: responses are not stored on the way and not taken for something else, unless they say so themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in CAREFUL.items() if name not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        async def guarded(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                replaced = message["status"] == TOO_LARGE and headers.get(b"content-type", b"").startswith(b"text/plain")
                if replaced:
                    return await problem(TooLarge("The body of the request is too large."))(scope, receive, tell)
            if not replaced:
                await tell(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)
