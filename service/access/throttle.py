"""Limits to how often and how many at a time, in the memory of one API process."""

import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import sleep

from workers.errors import RateLimited

WINDOW_S = 60.0
AT_ONCE = 8  # requests that take long and may begin together; each further one begins
APART_S = 0.02  # after the one before
MANY = 10_000  # names after which the quiet ones are forgotten


class Throttle:
    """So many requests per minute and name, at once or spread (the generic cell rate algorithm)."""

    def __init__(self, per_minute: int) -> None:
        self._interval_s = WINDOW_S / per_minute
        self._due: dict[str, float] = {}  # when the requests so far would end, each taking its interval
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Count a request. Raises RateLimited when it is one too many."""
        now = time.monotonic()
        with self._lock:
            due = max(self._due.get(name, 0.0), now) + self._interval_s
            early_s = due - WINDOW_S - now
            if early_s > 0:
                raise RateLimited(headers={"Retry-After": str(math.ceil(early_s))})
            self._due[name] = due
            if len(self._due) > MANY:
                self._due = {other: due for other, due in self._due.items() if due > now}


class Turnstile:
    """So many at a time of a name: of requests that take long, which would leave no room to others. For one event loop.

    When many come at a time they begin one after the other, so that they leave the process to requests that take no time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()
        self._next = 0.0  # when all that have come would have begun

    @asynccontextmanager
    async def passage(self, name: str) -> AsyncIterator[None]:
        """One more, for the time of the block. Raises RateLimited when it is one too many."""
        if self._under_way[name] >= self._most:
            raise RateLimited(
                f"{self._most} uploads and event streams of this key are under way.",
                hint="Wait for one of them to end.",
                headers={"Retry-After": "2"},
            )
        self._under_way[name] += 1
        try:
            now = time.monotonic()
            self._next = max(self._next, now) + APART_S
            await sleep(max(0.0, self._next - now - AT_ONCE * APART_S))
            yield
        finally:
            self._under_way[name] -= 1
            self._under_way += Counter()  # forgets those at zero
