"""Answers for which many ask at a time: each is asked for once, and good for a moment."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio.to_thread import run_sync

T = TypeVar("T")
MANY = 1000  # answers after which the old ones are forgotten


class Shared(Generic[T]):
    """`ask(name)`, for all streams of a process that look at the same thing."""

    def __init__(self, ask: Callable[[str], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._answers: dict[str, tuple[float, asyncio.Future[T]]] = {}  # since when

    async def __call__(self, name: str) -> T:
        """An answer that is at most so many seconds old. Raises what `ask` raises."""
        now = time.monotonic()
        asked, answer = self._answers.get(name, (0.0, None))
        if answer is None or (answer.done() and now - asked >= self._seconds):
            if len(self._answers) >= MANY:
                self._answers = {other: held for other, held in self._answers.items() if now - held[0] < self._seconds}
            answer = asyncio.ensure_future(run_sync(self._ask, name))
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever asked may have left
            self._answers[name] = now, answer
        return await asyncio.shield(answer)
