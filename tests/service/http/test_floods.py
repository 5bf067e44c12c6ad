"""Many at a time: who comes before a burst, or after it, is not kept until it is over."""

import asyncio
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from service.access.throttle import APART_S, Turnstile
from service.access.throttle import AT_ONCE as TOGETHER
from service.http.protocol import AT_ONCE, Turns
from tests.installation import installation
from workers.errors import RateLimited
from workers.jobs.records import Role


@given(count=st.integers(1, 100))
def test_every_request_begins_once_the_oldest_and_newest_first(count: int) -> None:
    begun: list[int] = []

    async def burst() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()
        for number in range(count):
            turns.wait(loop, lambda number=number: begun.append(number))  # type: ignore[misc]
        while len(begun) < count:
            await asyncio.sleep(0)

    asyncio.run(burst())
    assert sorted(begun) == list(range(count))
    assert begun[0] == 0
    assert count <= AT_ONCE or max(begun[: 2 * AT_ONCE]) == count - 1


def test_requests_that_take_long_begin_apart() -> None:
    begun: list[float] = []

    async def enter(turnstile: Turnstile) -> None:
        async with turnstile.passage("key"):
            begun.append(time.monotonic())
            await asyncio.sleep(5 * APART_S)

    async def together() -> list[BaseException | None]:
        turnstile = Turnstile(TOGETHER + 5)
        return await asyncio.gather(*(enter(turnstile) for _ in range(TOGETHER + 8)), return_exceptions=True)

    refused = [error for error in asyncio.run(together()) if error is not None]
    assert [type(error) for error in refused] == [RateLimited] * 3
    assert begun[-1] - begun[0] >= 4 * APART_S * 0.99
    assert len(begun) == TOGETHER + 5


def test_one_whose_client_leaves_while_it_waits_frees_its_place() -> None:
    async def leave() -> None:
        turnstile = Turnstile(2)

        async def enter() -> None:
            async with turnstile.passage("key"):
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(enter()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turnstile.passage("key"):
            pass

    asyncio.run(leave())


def test_a_burst_is_answered_whole() -> None:
    with installation() as service, ExitStack() as lines, service.http(Role.VIEWER) as http:
        address = urlsplit(service.url)
        burst = [lines.enter_context(socket.create_connection((address.hostname, address.port or 0))) for _ in range(80)]
        for line in burst:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert http.get("/v1/whoami").status_code == 200
        for line in burst:
            line.settimeout(60)
            assert line.recv(1000).startswith(b"HTTP/1.1 200")
