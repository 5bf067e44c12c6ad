"""HTTP connections with limits: what uvicorn's protocol lets a client do without end.

A connection whose request is not there in time, or grows beyond all measure, gets its answer and is closed. When there are too
many connections, of one address or of all, the oldest that has no request under way makes room. Of many requests that come at
a time the oldest and the newest begin first.
"""

import asyncio
import time
from asyncio import TimerHandle, Transport
from collections import deque
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.errors import problem
from workers.errors import FractuneError, HeadersTooLarge, MalformedRequest, RequestTimedOut, Unavailable
from workers.settings import ConnectionLimits

AT_ONCE = 1  # requests that begin before the loop looks at anything else

Network = IPv4Network | IPv6Network


class Connections:
    """The connections of one process, oldest first, and how many each address has."""

    def __init__(self, limits: ConnectionLimits, most: int, proxies: Iterable[Network]) -> None:
        self.limits = limits
        self._most, self._proxies = most, tuple(proxies)
        self._open: dict[GuardedProtocol, str] = {}
        self._by_address: dict[str, int] = {}

    def admit(self, connection: "GuardedProtocol", address: str) -> bool:
        """Take a connection in, at the expense of the oldest idle one where there are too many; False when none is idle."""
        limited = not self._is_proxy(address)
        if limited and self._by_address.get(address, 0) >= self.limits.per_address and not self._make_room(address):
            return False
        if len(self._open) >= self._most and not self._make_room(None):
            return False
        self._open[connection] = address
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return True

    def forget(self, connection: "GuardedProtocol") -> None:
        """It is closed."""
        address = self._open.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _make_room(self, address: str | None) -> bool:
        for connection, whose in self._open.items():
            if address in (None, whose) and connection.idle:
                connection.drop()
                return True
        return False

    def _is_proxy(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self._proxies)
        except ValueError:  # of a Unix socket: it has none
            return True


class Turns:
    """Requests that have not begun. The oldest and the newest are next, so that a burst delays neither who came before it nor
    who comes after it by its whole length."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None]) -> None:
        """Have `begin` called, soon."""
        self._waiting.append(begin)
        if len(self._waiting) == 1:
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        newest = [self._waiting.pop() for _ in range(min(AT_ONCE, len(self._waiting)))]
        if self._waiting:
            loop.call_soon(self._begin, loop)
        for begin in oldest + newest:
            begin()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines and sizes; `book` and `turns` are set by `guarded`."""

    book: Connections
    turns: Turns
    _declined = False
    _timer: TimerHandle | None = None
    _stuck: TimerHandle | None = None
    _since = 0.0
    _body_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._limits = self.book.limits
        self._expect_headers()
        if self.book.admit(self, self.client[0] if self.client else ""):
            self._within(self._limits.header_s)
        else:
            self._decline(Unavailable("There are too many connections.", hint="Keep fewer open, or wait."))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self.book.forget(self)
        self._disarm()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """Make room for another one."""
        self.book.forget(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        if self._declined:
            return
        if self._awaiting:
            if not self._raw_bytes:
                self._within(self._limits.header_s)
            self._raw_bytes += len(data)
        super().data_received(data)
        if self._awaiting and self._raw_bytes > self._limits.header_bytes:
            self._decline(HeadersTooLarge(self._too_large()))

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        super().on_url(url)
        self._parsed_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body."""
        self._parsed_bytes += len(name) + len(value)
        if self._parsed_bytes <= self._limits.header_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request can be answered, unless it is too large."""
        self._awaiting = False
        if self._declined:
            return
        if self._parsed_bytes > self._limits.header_bytes:
            self._decline(HeadersTooLarge(self._too_large()))
            return
        if sum(name == b"host" for name, _ in self.headers) > 1:  # a proxy in front may have believed the other one
            self._decline(MalformedRequest())
            return
        super().on_headers_complete()
        self._within(self._limits.body_s)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        begin = super()._start_asgi_task

        def begin_unless_gone() -> None:
            if not cycle.disconnected and not self.transport.is_closing():
                begin(cycle, app)

        self.turns.wait(self.loop, begin_unless_gone)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self._declined:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there; from now on the time is ours, until the next one begins."""
        if self._declined:
            return
        self._disarm()
        super().on_message_complete()
        self._expect_headers()

    def pause_writing(self) -> None:
        """The client does not take the answer."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self._limits.body_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._decline(MalformedRequest())

    def _expect_headers(self) -> None:
        self._awaiting, self._raw_bytes, self._parsed_bytes = True, 0, 0

    def _within(self, seconds: float) -> None:
        self._disarm()
        self._since, self._body_bytes = time.monotonic(), 0
        self._timer = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Headers have not come in time, or a body comes too slowly; unless it is we who do not read."""
        if not self._awaiting:
            enough = self._limits.body_rate * (time.monotonic() - self._since)
            if self.flow.read_paused or self._body_bytes >= enough:
                self._within(self._limits.body_s)
                return
        self._decline(RequestTimedOut())

    def _decline(self, error: FractuneError) -> None:
        """Answer with `error`, if nothing was answered yet, and close."""
        self._declined = True
        self._disarm()
        if self.idle or not self.cycle.response_started:
            answer = problem(error)
            headers = b"".join(b"%s: %s\r\n" % pair for pair in [*answer.raw_headers, (b"connection", b"close")])
            self.transport.write(STATUS_LINE[answer.status_code] + headers + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _too_large(self) -> str:
        return f"The headers of the request are larger than {self._limits.header_bytes} bytes."


def guarded(limits: ConnectionLimits, most: int, proxies: Iterable[Network]) -> type[asyncio.Protocol]:
    """The protocol of one process, for uvicorn."""
    values: dict[str, Any] = {"book": Connections(limits, most, proxies), "turns": Turns()}
    return type("Guarded", (GuardedProtocol,), values)
