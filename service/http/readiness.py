"""Whether jobs can be taken in and done."""

import shutil
from collections.abc import Callable

from workers.errors import FractuneError, Unavailable
from workers.jobs.store import Store
from workers.settings import Settings

SILENCES = 10  # heartbeats that a worker may miss


class Readiness:
    """Each part as "ok" or what is wrong with it."""

    def __init__(self, settings: Settings, store: Store, depth: Callable[[], int], background: Callable[[], None]) -> None:
        self._settings = settings
        self._store = store
        self._depth = depth
        self._background = background

    def __call__(self) -> dict[str, str]:
        parts = {
            "store": self._store.ping,
            "broker": self._depth,
            "disk": self._disk,
            "workers": self._workers,
            "background": self._background,
        }
        return {name: _result(check) for name, check in parts.items()}

    def _disk(self) -> None:
        free = shutil.disk_usage(self._settings.data_dir).free
        if free < self._settings.min_free_bytes:
            raise Unavailable(f"only {free} bytes are free")

    def _workers(self) -> None:
        patience_s = SILENCES * self._settings.heartbeat_s
        if not any(worker.silent_s < patience_s for worker in self._store.workers.list()):
            raise Unavailable(f"none was heard of for {patience_s:g} s")


def _result(check: Callable[[], object]) -> str:
    try:
        check()
    except FractuneError as error:
        return error.message
    return "ok"
