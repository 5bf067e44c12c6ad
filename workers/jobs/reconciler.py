"""Puts right what a crash left behind. Any number of processes may run it at any time."""

from collections.abc import Callable

import structlog

from workers.errors import Unavailable
from workers.jobs.store import Store

log = structlog.get_logger(__name__)


def reconcile(
    store: Store,
    enqueue: Callable[[str], None],
    depth: Callable[[str | None], int],
    *,
    max_attempts: int,
    requeue_s: float,
    lease_s: float,
) -> None:
    """Give the jobs of silent workers to others, and send messages again that the broker has lost.

    While a queue holds a message for every job that waits in it, none is sent: a long queue is no reason to make it longer.
    """
    try:
        for job_id in store.leases.expire(max_attempts, lease_s):
            log.warning("job taken from a silent worker", job_id=job_id)
            enqueue(job_id)
        for runs_on, waiting in store.leases.waiting().items():
            missing = waiting - depth(runs_on)
            for job_id in store.leases.unheard(requeue_s, missing, runs_on) if missing > 0 else ():
                log.info("job announced again", job_id=job_id)
                enqueue(job_id)
    except Unavailable as error:
        log.warning("not reconciled", reason=error.message)
