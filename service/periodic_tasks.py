"""What the API process does beside answering: tasks, each in a thread of its own, until the end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from workers.errors import FractuneError

log = structlog.get_logger(__name__)


@contextmanager
def periodic_tasks(*rounds: tuple[float, Callable[[], object]]) -> Iterator[None]:
    """Do each task every so many seconds until the end of the block."""
    stop = threading.Event()
    threads = [threading.Thread(target=_repeat, args=(stop, *each), daemon=True) for each in rounds]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


def _repeat(stop: threading.Event, interval_s: float, task: Callable[[], object]) -> None:
    while not stop.wait(interval_s):
        try:
            task()
        except FractuneError as error:  # a part is down; the next round may find it up
            log.warning("task not done", task=repr(task), reason=error.message)
