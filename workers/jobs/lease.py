"""A worker's hold on a job: renewed in a thread while the work goes on elsewhere."""

import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

import structlog

from workers.errors import Unavailable
from workers.jobs.job import State
from workers.jobs.store.leases import Leases

T = TypeVar("T")
log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """The job belongs to another worker by now."""


class Lease:
    """Use as a context: it renews the lease every `heartbeat_s` seconds until the end of the block.

    A store that does not answer is forgiven until the lease has run out: until then nobody else takes the job.
    """

    def __init__(self, leases: Leases, job_id: str, attempt: int, lease_s: float, heartbeat_s: float) -> None:
        self._leases = leases
        self._job = (job_id, attempt)
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._state: State | None = State.RUNNING
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._renewed = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether somebody else may work on the job."""
        return self._state is None

    def should_stop(self) -> bool:
        """Whether the work is unwanted: canceled, or lost."""
        return self._state != State.RUNNING

    def persist(self, write: Callable[[], T]) -> T:
        """`write()`, again and again while the store does not answer. Raises LeaseLost when that takes too long."""
        while not self.lost:
            try:
                return write()
            except Unavailable:
                time.sleep(self._heartbeat_s)
        raise LeaseLost

    def _run(self) -> None:
        while self._state is not None and not self._done.wait(self._heartbeat_s):
            asked = time.monotonic()
            try:
                self._state = self._leases.renew(*self._job, self._lease_s)
                self._renewed = asked
            except Unavailable:
                log.warning("lease not renewed", since_s=round(asked - self._renewed, 1))
                if asked - self._renewed > self._lease_s:
                    self._state = None
            except Exception:  # a lease that nobody renews is lost, whatever the reason
                log.exception("lease given up")
                self._state = None
