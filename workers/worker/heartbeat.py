"""A worker's signs of life, and its share in putting right what crashes leave behind.

They come from timers of the worker's own event loop: a thread beside it could hold a lock at the moment of a fork.
"""

import signal
from functools import partial
from types import FrameType
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.worker import state

from workers.errors import Unavailable
from workers.jobs.reconciler import reconcile
from workers.jobs.store import Store
from workers.machine import fingerprint
from workers.settings import Settings
from workers.worker import broker

log = structlog.get_logger(__name__)


def start_heartbeat(celery: Celery, settings: Settings, worker: str, labels: dict[str, str], missing: tuple[str, ...]) -> None:
    """Make the worker of `celery` show itself in the store while it runs; `missing` are layers that do not confine its jobs."""
    store = Store(settings.database, pooled=False)  # it forks
    store.migrate()
    machine = fingerprint().model_dump(mode="json") | {"missing_layers": list(missing)}
    seen = partial(store.workers.seen, worker, machine, labels)
    mend = partial(
        reconcile,
        store,
        partial(broker.announce_job, celery, store),
        partial(broker.depth, celery),
        max_attempts=settings.max_attempts,
        requeue_s=settings.requeue_s,
        lease_s=settings.lease_s,
    )

    class Presence(bootsteps.StartStopStep):  # type: ignore[misc]
        """Started again with every new connection to the broker, which drops all timers."""

        def start(self, consumer: Any) -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            signal.signal(signal.SIGUSR2, drain)
            sign()
            consumer.timer.call_repeatedly(settings.heartbeat_s, sign)
            consumer.timer.call_repeatedly(settings.lease_s / 4, mend)

        def shutdown(self, consumer: Any) -> None:
            with_log(partial(store.workers.gone, worker))

    def sign() -> None:
        with_log(seen)

    celery.steps["consumer"].add(Presence)


def stop(signum: int, frame: FrameType | None) -> None:
    """Give the job back instead of waiting for its end. Only a flag: Celery's own handler talks to the broker, and may hang."""
    state.should_terminate = 0


def drain(signum: int, frame: FrameType | None) -> None:
    """Take no more jobs, and end when the one at hand has ended."""
    state.should_stop = 0


def with_log(call: partial[None]) -> None:
    """`call()`; a store that does not answer is no reason to stop."""
    try:
        call()
    except Unavailable as error:
        log.warning("worker not recorded", reason=error.message)
    except Exception as error:
        log.error("worker not recorded", exc_info=error)
