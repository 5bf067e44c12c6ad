"""What the API process does beside answering: tasks, each in a thread of its own, until the end."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from workers.errors import FractuneError, Unavailable

log = structlog.get_logger(__name__)


class PeriodicTasks:
    """Tasks by name, each with the seconds between two of its rounds; a round that fails, however it does, is not the last."""

    def __init__(self, tasks: Mapping[str, tuple[float, Callable[[], object]]]) -> None:
        self._tasks = tasks
        self._broken: dict[str, str] = {}  # what was unexpected in the last round, by task
        self.failures: Counter[str] = Counter(dict.fromkeys(tasks, 0))  # rounds that ended unexpectedly

    @contextmanager
    def running(self) -> Iterator[None]:
        """Do the tasks until the end of the block."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._repeat, args=(stop, name), name=name, daemon=True) for name in self._tasks]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(5)

    def check(self) -> None:
        """Raises Unavailable where the last round of a task has ended unexpectedly."""
        if self._broken:
            raise Unavailable("; ".join(f"{name}: {reason}" for name, reason in sorted(self._broken.items())))

    def _repeat(self, stop: threading.Event, name: str) -> None:
        interval_s, task = self._tasks[name]
        while not stop.wait(interval_s):
            try:
                task()
            except FractuneError as error:  # a part is down; the next round may find it up
                log.warning("task not done", task=name, reason=error.message)
            except Exception as error:  # a fault of ours must not end the task for good, and must be seen
                log.exception("task failed", task=name)
                self._broken[name] = f"{type(error).__name__}: {error}"
                self.failures[name] += 1
                continue
            self._broken.pop(name, None)
