"""When leases run out, by a clock that nobody can set.

A lease is written down as a time of the database's clock, which may be set forwards or backwards while it runs. So whoever
looks after leases measures by its own steady clock from the moment that it first sees a lease as it is.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STEP_S = 2.0  # by which the clocks may part between two looks before it counts as a step


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as it stands."""

    job_id: str
    attempt: int
    until: float  # by the database's clock
    remaining_s: float  # by the database's clock


class LeaseWatch:
    """What one process has seen of leases."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[tuple[str, int, float], float] = {}  # by the steady clock
        self._offset: float | None = None  # of the database's clock from the steady one
        self._lock = threading.Lock()

    def overdue(self, leases: Sequence[Held], longest_s: float) -> list[Held]:
        """Those of all leases that have run out; `longest_s` is how long one can be."""
        now = self._clock()
        with self._lock:
            stepped = self._stepped(leases, now)
            ends = {}
            for lease in leases:
                key = (lease.job_id, lease.attempt, lease.until)
                remaining = longest_s if stepped and key not in self._ends else min(lease.remaining_s, longest_s)
                ends[key] = self._ends.get(key, now + remaining)
            self._ends = ends
        return [lease for lease in leases if ends[lease.job_id, lease.attempt, lease.until] < now]

    def _stepped(self, leases: Sequence[Held], now: float) -> bool:
        """Whether the database's clock was set since the last look."""
        if not leases:
            return False
        offset = leases[0].until - leases[0].remaining_s - now
        before, self._offset = self._offset, offset
        return before is not None and abs(offset - before) > STEP_S
