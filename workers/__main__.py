"""`python -m workers`: a worker, configured by FRACTUNE_* variables, until SIGTERM."""

import os
import socket
import sys

from workers.logs import configure
from workers.presence import announce
from workers.settings import Settings
from workers.tasks import make_worker


def main() -> None:
    """Work until told to stop."""
    settings = Settings()
    configure(settings.log_format)
    name = f"{socket.gethostname()}-{os.getpid()}"
    celery = make_worker(settings, name)
    announce(celery, settings, name)
    worker = celery.Worker(hostname=name, without_gossip=True, without_mingle=True, without_heartbeat=True)
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
