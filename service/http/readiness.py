"""Whether jobs can be taken in and done, and what this machine does not give."""

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from service.http.deadline import Deadline
from workers.errors import FractuneError, Unavailable
from workers.jobs.store import Store
from workers.settings import Settings

SILENCES = 10  # heartbeats that a worker may miss
BROKER_S = 0.9  # a broker that hangs takes connections and says nothing
ANSWER_S = 5.0  # for the other parts; all are asked one beside the other
KEPT_S = 1.0  # an answer is good for so long, whoever asks


class Readiness:
    """Each part as "ok" or what is wrong with it."""

    def __init__(self, settings: Settings, store: Store, depth: Callable[[], int], background: Callable[[], None]) -> None:
        self._settings, self._store = settings, store
        self._parts: dict[str, Callable[[], object]] = {
            "store": store.health.check_writing,
            "clock": store.health.check_clock,
            "broker": depth,
            "disk": self._disk,
            "workers": self._workers,
            "background": background,
        }
        self._deadlines = {name: Deadline(name, BROKER_S if name == "broker" else ANSWER_S) for name in self._parts}
        self._lock = threading.Lock()
        self._last: tuple[float, dict[str, str]] | None = None

    def __call__(self) -> dict[str, str]:
        """The parts by name."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > KEPT_S:
                self._last = time.monotonic(), self._ask()
            return self._last[1]

    def absent_layers(self) -> dict[str, list[str]]:
        """Layers of the sandbox that workers which are there do without, by worker."""
        try:
            workers = Deadline("store", ANSWER_S)(self._store.workers.list)
        except FractuneError:
            return {}
        return {worker.id: missing for worker in workers if self._alive(worker) and (missing := missing_of(worker.machine))}

    def _ask(self) -> dict[str, str]:
        results: dict[str, str] = {}

        def ask(name: str) -> None:
            try:
                self._deadlines[name](self._parts[name])
            except FractuneError as error:
                results[name] = error.message
            else:
                results[name] = "ok"

        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in self._parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {name: results[name] for name in self._parts}

    def _disk(self) -> None:
        free = shutil.disk_usage(self._settings.data_dir).free
        if free < self._settings.min_free_bytes:
            raise Unavailable(f"only {free} bytes are free")

    def _workers(self) -> None:
        if not any(self._alive(worker) for worker in self._store.workers.list()):
            raise Unavailable(f"none was heard of for {SILENCES * self._settings.heartbeat_s:g} s")

    def _alive(self, worker: Any) -> bool:
        patience_s = SILENCES * self._settings.heartbeat_s
        return bool(-patience_s < worker.silent_s < patience_s)  # one that signs from the future may be gone for long


def missing_of(machine: dict[str, Any]) -> list[str]:
    """What a worker has told of its sandbox."""
    missing = machine.get("missing_layers", [])
    return list(missing)
