"""A whole service for tests: API, queue, store, and workers whose child is the stand-in."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.access.authentication import issue
from service.api import HttpServer, configuration
from tests.servers import folder, process, valkey
from tests.waiting import PATIENCE_S
from workers.jobs.records import Role
from workers.jobs.store import Store
from workers.settings import Settings

ROOT = Path(__file__).parents[1]
MOST_CONNECTIONS = 100
STAND_IN = (sys.executable, str(ROOT / "tests" / "stand_in.py"))
RECIPE: dict[str, Any] = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}], "benchmark": None}


def settings_in(home: Path, **values: object) -> Settings:
    """Quick to notice, slow to forget."""
    quick = {"heartbeat_s": 0.2, "lease_s": 600.0, "requeue_s": 1.0, "min_free_bytes": 1}
    return Settings.model_validate({"data_dir": home, "child_command": STAND_IN} | quick | values)


class Installation:
    """The service at `url`, and a key for each role."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.database)
        self.store.migrate()
        self.keys = {role: issue(self.store, f"the {role}", role, "test")[1] for role in Role}
        self.url = ""

    def http(self, role: Role | None = Role.ADMIN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)

    @contextmanager
    def api(self) -> Iterator[None]:
        """The API in a thread of this process."""
        config = configuration(self.settings, MOST_CONNECTIONS, port=0)
        server, listener = HttpServer(config), config.bind_socket()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, in a process of its own as always."""
        passed_on = {"data_dir", "child_command", "heartbeat_s", "lease_s", "requeue_s"}
        values = self.settings.model_dump(mode="json", include=passed_on)
        variables = {
            f"FRACTUNE_{name.upper()}": value if isinstance(value, str) else json.dumps(value) for name, value in values.items()
        }

        def ready() -> bool:
            return any(worker.silent_s < 1 for worker in self.store.workers.list())

        with process([sys.executable, "-m", "workers.worker"], ready=ready, env=os.environ | variables, cwd=ROOT) as worker:
            yield worker


@contextmanager
def installation(**values: object) -> Iterator[Installation]:
    """Store, queue and API; workers are up to the test."""
    with folder() as home, valkey(home / "broker.sock"):
        service = Installation(settings_in(home, **values))
        with service.api():
            yield service
        service.store.close()
