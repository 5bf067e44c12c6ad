"""`python -m workers.worker`: a worker, configured by FRACTUNE_* variables.

SIGTERM ends it at once, and another worker does its job anew; SIGUSR2 drains it: it finishes its job, then ends.
"""

import os
import socket
import sys

from workers.errors import FractuneError
from workers.logs import configure
from workers.machine import fingerprint, labels
from workers.settings import read_settings
from workers.worker.broker import queues
from workers.worker.heartbeat import start_heartbeat
from workers.worker.sandbox.probe import require_layers
from workers.worker.tasks import make_worker


def main() -> None:
    """Work until told to stop."""
    settings = read_settings()
    configure(settings.log_format)
    name = f"{socket.gethostname()}-{os.getpid()}"
    celery = make_worker(settings, name)
    own = labels(fingerprint()) | settings.worker_labels
    start_heartbeat(celery, settings, name, own, require_layers(settings))
    worker = celery.Worker(
        hostname=name,
        queues=queues(own, settings.worker_dedicated),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    try:
        main()
    except FractuneError as error:
        sys.exit(f"{error.code} {error.message}\n{error.hint}")
