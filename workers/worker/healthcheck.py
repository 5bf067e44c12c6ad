"""`python -m workers.worker.healthcheck`: exits with 0 while a worker on this host is alive; for checks of containers."""

import socket
import sys
from contextlib import closing

from workers.errors import Unavailable
from workers.jobs.store import Store
from workers.settings import Settings, read_settings

SILENCES = 10  # heartbeats that a worker may miss


def alive(settings: Settings, host: str) -> bool:
    """Whether the store has heard of a worker on `host` lately; True also when the store does not answer: no fault of ours."""
    with closing(Store(settings.database, pooled=False)) as store:
        try:
            silences = [worker.silent_s for worker in store.workers.list() if worker.id.rpartition("-")[0] == host]
        except Unavailable:
            return True
    return any(silence < SILENCES * settings.heartbeat_s for silence in silences)


if __name__ == "__main__":
    sys.exit(0 if alive(read_settings(), socket.gethostname()) else 1)
