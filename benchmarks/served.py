"""The embedded service in a folder of its own, for scripts that measure it from outside."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.embedded import local_service

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running `fractune serve`."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    url: str
    key: str  # an administrator's


@contextmanager
def served(workers: int, variables: Mapping[str, str], parent: Path | None = None) -> Iterator[Service]:
    """The service with that many workers, and `variables` in its environment; its folder is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="fractune-", dir=parent) as folder:
        command = [sys.executable, "-m", "service", "serve", "--port", "0", "--workers", str(workers), "--data-dir", folder]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
        try:
            yield Service(process, Path(folder), *_wait_until_ready(Path(folder)))
        finally:
            process.terminate()
            process.wait(30)


def ready(url: str) -> bool:
    """Whether every part of it works."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def _wait_until_ready(folder: Path) -> tuple[str, str]:
    """URL and key of the service on `folder`. Raises TimeoutError."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        local = local_service.read_local_service(folder)
        if local.key and ready(local.url):
            return local.url, local.key
        time.sleep(0.2)
    raise TimeoutError(f"The service is not ready after {READY_S:g} s; see {folder}/logs.")
