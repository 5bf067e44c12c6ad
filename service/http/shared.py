"""Answers for which many ask at a time: each is asked for once, and good for a moment."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

N = TypeVar("N", bound=Hashable)
T = TypeVar("T")
OLDEST_S = 1.0  # what is true until some time, is not true for longer
THREADS = 2
MANY = 1000  # answers after which the old ones are forgotten


class Shared(Generic[N, T]):
    """`ask(name)`, for all streams of a process that look at the same thing."""

    def __init__(self, ask: Callable[[N], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._threads = CapacityLimiter(THREADS)  # of our own, so that nobody waits behind uploads
        self._answers: dict[N, tuple[float, asyncio.Future[T]]] = {}  # since when

    async def __call__(self, name: N) -> T:
        """An answer that is at most so many seconds old. Raises what `ask` raises."""
        now = time.monotonic()
        asked, answer = self._answers.get(name, (0.0, None))
        if answer is None or (answer.done() and now - asked >= self._seconds):
            if len(self._answers) >= MANY:
                self._answers = {other: held for other, held in self._answers.items() if now - held[0] < self._seconds}
            answer = asyncio.ensure_future(run_sync(self._ask, name, limiter=self._threads))
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever asked may have left
            self._answers[name] = now, answer
        return await asyncio.shield(answer)


class Current(Generic[T]):
    """`ask(*names)`, asked again only when the store was written to since, by whatever process, or a second has passed.

    Where the database does not tell of writing (PostgreSQL), everybody asks.
    """

    def __init__(self, version: Callable[[], int | None], ask: Callable[..., T]) -> None:
        self._version, self._ask = version, ask
        self._shared: Shared[tuple[Any, ...], T] = Shared(lambda name: ask(*name[1:]), OLDEST_S)

    async def __call__(self, *names: Hashable) -> T:
        """What the store says now. Raises what `ask` raises."""
        version = self._version()  # before it is asked: whatever is written from here on makes another answer
        if version is None:
            return await run_sync(self._ask, *names)
        return await self._shared((version, *names))
