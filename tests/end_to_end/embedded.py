"""`fractune serve` as a fixture."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests import servers
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Service:
    """A running `fractune serve`."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = self._wait_for(r"(http://\S+)")

    def _wait_for(self, pattern: str) -> str:
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(said)

    def part(self, name: str) -> psutil.Process:
        """The process of a part, not those it has started itself."""
        children = psutil.Process(self.process.pid).children()
        (found,) = [child for child in children if alive(child) and name in " ".join(child.cmdline())]
        return found

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).is_success
        except httpx.TransportError:
            return False


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextmanager
def running_service(**variables: str) -> Iterator[Service]:
    """A service with FRACTUNE_* variables, in a folder of its own."""
    with servers.folder() as data_dir:
        running = Service(data_dir, **variables)
        try:
            yield running
        finally:
            running.process.terminate()
            running.process.communicate(timeout=PATIENCE_S)
