"""Rate limits, in the memory of one API process."""

import math
import threading
import time

from workers.errors import RateLimited

WINDOW_S = 60.0
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
