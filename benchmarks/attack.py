"""Attacks on the service and on the sandbox: what they reach, and what clients feel of them meanwhile.

    python benchmarks/attack.py --clients 200 --seconds 15 --out benchmarks/results/attack.json

The evil child (tests/evil_child.py) is let loose in the sandbox with namespaces and without. Then a served API is polled by
clients once a second, first in peace and then during each flood: headers without end, requests that are never finished,
regular expressions that a backtracking engine would never finish. The exit code is 1 when the evil child reached anything, a
request of a client failed, or the slowest percentile took longer than LIMIT_MS.
"""

import asyncio
import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import typer
from served import served
from service_load import BUSY, LIMIT_MS, Clients, play, submit, summary

from workers.machine import fingerprint

ROOT = Path(__file__).parents[1]
ATTACKERS = 4  # processes
HALF_REQUESTS = 400  # open at a time, by each attacker
CATASTROPHIC = "(a+)+$"
Flood = Callable[[str, str, float], None]  # URL, key, seconds


def main(
    clients: Annotated[int, typer.Option(help="Clients that poll a job once a second.")] = 200,
    seconds: Annotated[float, typer.Option(help="How long each flood lasts.")] = 15.0,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Attack, print, and write the figures."""
    sandbox = {setting: evil_child(*options) for setting, options in {"namespaces": (), "contained": ("--contained",)}.items()}
    with served(1, {"FRACTUNE_CHILD_COMMAND": json.dumps(BUSY)}) as service:
        jobs = submit(service.url, service.key)
        floods = {name: felt(flood, service.url, service.key, jobs, clients, seconds) for name, flood in FLOODS.items()}
    held = all(not each["reached"] and not each["left"] for each in sandbox.values())
    met = all(not each["failures"] and each["p99_ms"] < LIMIT_MS for each in floods.values())
    record = {
        "sandbox": sandbox,
        "clients": clients,
        "seconds": seconds,
        "floods": floods,
        "limit_p99_ms": LIMIT_MS,
        "met": held and met,
        "machine": fingerprint().model_dump(mode="json"),
    }
    text = json.dumps(record, indent=2)
    typer.echo(text)
    if out:
        out.write_text(text + "\n")
    raise typer.Exit(0 if held and met else 1)


def evil_child(*options: str) -> dict[str, Any]:
    """What it reached, and what it left behind."""
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        command = [sys.executable, "-m", "tests.containment", folder, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def felt(flood: Flood | None, url: str, key: str, jobs: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """What clients felt while the flood lasted."""
    attackers = [multiprocessing.Process(target=flood, args=(url, key, seconds)) for _ in range(ATTACKERS if flood else 0)]
    for attacker in attackers:
        attacker.start()
    waits, failures = asyncio.run(play(url, key, jobs, Clients(clients, 0, 0), seconds))
    for attacker in attackers:
        attacker.join()
    return {"failures": failures[:10], **summary(np.array(waits["poll"]))}


def headers_without_end(url: str, key: str, seconds: float) -> None:
    """One header, a megabyte at a time, until the connection is cut; again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with connected(url) as line, suppress(OSError):
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
            for _ in range(100):
                line.sendall(b"a" * (1 << 20))


def half_requests(url: str, key: str, seconds: float) -> None:
    """Many connections with the beginning of a request, each replaced as soon as it is cut."""
    end = time.monotonic() + seconds
    lines: list[socket.socket] = []
    while time.monotonic() < end:
        with suppress(OSError):
            lines.append(connected(url))
            lines[-1].sendall(b"GET /healthz HTTP/1.1\r\n")
        if len(lines) > HALF_REQUESTS:
            lines.pop(0).close()
        time.sleep(0.002)
    for line in lines:
        line.close()


def regular_expressions(url: str, key: str, seconds: float) -> None:
    """Dry runs of a recipe whose pattern backtracks without end, where there is backtracking."""
    recipe = {"steps": [{"method": "inq"}], "ignored_scope": {"patterns": [CATASTROPHIC] * 50, "validate": False}}
    end = time.monotonic() + seconds
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        model = http.get("/v1/models").json()["items"][0]["sha256"]
        while time.monotonic() < end:
            http.post("/v1/jobs:validate", json={"model": model, "recipe": recipe})
            time.sleep(0.05)


def connected(url: str) -> socket.socket:
    """A connection to the service."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=5)


FLOODS: dict[str, Flood | None] = {
    "peace": None,
    "headers without end": headers_without_end,
    "half requests": half_requests,
    "regular expressions": regular_expressions,
}

if __name__ == "__main__":
    typer.run(main)
