"""Attacks on the service and on the sandbox: what they reach, and what clients feel of them meanwhile.

    python benchmarks/attack.py --clients 200 --seconds 15 --out benchmarks/results/attack.json

The evil child (tests/evil_child.py) is let loose in the sandbox with namespaces and without. Then a served API is polled by
clients once a second, first in peace and then during each attack: headers without end, requests that are never finished, bodies
that never end, regular expressions that a backtracking engine would never finish, event streams by the hundred, a disk without
space, and a clock that goes back. Attackers, clients and the service share the machine, and a worker's child that computes
without end has a processor of it. What each of the three has computed is told beside what clients waited. The exit code is 1
when the evil child reached anything, a request of a client failed, an attack did not find what it should, or the slowest
percentile took longer than LIMIT_MS.
"""

import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import typer
from served import served
from service_load import BUSY, LIMIT_MS, Clients, play, submit, summary
from sqlalchemy import update

from workers.jobs.database.connection import Database
from workers.jobs.database.tables import clock
from workers.machine import fingerprint

ROOT = Path(__file__).parents[1]
ATTACKERS = 4  # processes
HALF_REQUESTS = 400  # open at a time, by each attacker
SLOW_BODIES = 200
STREAMS = 200
CATASTROPHIC = "(a+)+$"
DISK_MIB = 300
BACK_S = 3600.0  # that the clock goes back


@dataclass(frozen=True, slots=True)
class Target:
    """The service under attack."""

    url: str
    key: str
    folder: Path
    process: int  # of `fractune serve`


Flood = Callable[[Target, float], None]  # for so many seconds; ends with an error where it found what should not be


def main(
    clients: Annotated[int, typer.Option(help="Clients that poll a job once a second.")] = 200,
    seconds: Annotated[float, typer.Option(help="How long each flood lasts.")] = 15.0,
    only: Annotated[list[str] | None, typer.Option(help="These attacks; all when absent.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Attack, print, and write the figures."""
    sandbox = {setting: evil_child(*options) for setting, options in {"namespaces": (), "contained": ("--contained",)}.items()}
    only, load = only or list(FLOODS), os.getloadavg()[0]
    floods: dict[str, dict[str, Any]] = {}
    variables = {"FRACTUNE_CHILD_COMMAND": json.dumps(BUSY), "FRACTUNE_MIN_FREE_BYTES": "1", "FRACTUNE_RATE_LIMIT": "1000000"}
    with small_disk() as disk, served(1, variables, disk) as service:
        target, jobs = Target(service.url, service.key, service.folder, service.process.pid), submit(service.url, service.key)
        for name, flood in FLOODS.items():
            if name not in only or (flood is full_disk and disk is None):
                continue
            floods[name] = felt(flood, target, jobs, clients, seconds)
            typer.echo(f"{name}: {floods[name]}", err=True)
    held = all(not each["reached"] and not each["left"] for each in sandbox.values())
    met = all(
        not each["failures"] and each["attackers_ended"] == "well" and each["p99_ms"] < LIMIT_MS for each in floods.values()
    )
    record = {
        "sandbox": sandbox,
        "clients": clients,
        "seconds": seconds,
        "load_average": load,
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


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system of its own, small enough to be filled; None where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "fractune", folder], check=False)
        try:
            yield None if made.returncode else Path(folder)
        finally:
            if not made.returncode:
                subprocess.run(["umount", "--lazy", folder], check=True)


def felt(flood: Flood | None, target: Target, jobs: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """What clients felt while the flood lasted."""
    count = 0 if flood is None else 1 if flood in ALONE else ATTACKERS
    attackers = [multiprocessing.Process(target=flood, args=(target, seconds)) for _ in range(count)]
    for attacker in attackers:
        attacker.start()
    before = processor_seconds(target.process)
    waits, failures = asyncio.run(play(target.url, target.key, jobs, Clients(clients, 0, 0), seconds))
    for attacker in attackers:
        attacker.join()
    after = processor_seconds(target.process)
    ended = "badly" if any(attacker.exitcode for attacker in attackers) else "well"
    spent = {who: round(after[who] - before[who], 2) for who in after}
    figures = {"failures": failures[:10], "attackers": count, "attackers_ended": ended, "cpu_s": spent}
    return figures | summary(np.array(waits["poll"]))


def processor_seconds(served: int) -> dict[str, float]:
    """What the API, the clients (this process) and the attackers that have ended have spent."""
    [api] = [process for process in psutil.Process(served).children() if "service.api" in process.cmdline()]
    us = os.times()
    return {"api": sum(api.cpu_times()[:2]), "clients": us.user + us.system, "attackers": us.children_user + us.children_system}


def headers_without_end(target: Target, seconds: float) -> None:
    """One header, a megabyte at a time, until the connection is cut; again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with connected(target.url) as line, suppress(OSError):
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
            for _ in range(100):
                line.sendall(b"a" * (1 << 20))


def half_requests(target: Target, seconds: float) -> None:
    """Many connections with the beginning of a request, each replaced as soon as it is cut."""
    end = time.monotonic() + seconds
    lines: list[socket.socket] = []
    while time.monotonic() < end:
        with suppress(OSError):
            lines.append(connected(target.url))
            lines[-1].sendall(b"GET /healthz HTTP/1.1\r\n")
        if len(lines) > HALF_REQUESTS:
            lines.pop(0).close()
        time.sleep(0.002)
    for line in lines:
        line.close()


def regular_expressions(target: Target, seconds: float) -> None:
    """Dry runs of a recipe whose pattern backtracks without end, where there is backtracking."""
    recipe = {"steps": [{"method": "inq"}], "ignored_scope": {"patterns": [CATASTROPHIC] * 50, "validate": False}}
    end = time.monotonic() + seconds
    with administrator(target) as http:
        model = http.get("/v1/models").json()["items"][0]["sha256"]
        while time.monotonic() < end:
            http.post("/v1/jobs:validate", json={"model": model, "recipe": recipe})
            time.sleep(0.05)


def slow_bodies(target: Target, seconds: float) -> None:
    """Uploads with a key, of a byte a second."""
    head = f"POST /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.key}\r\nContent-Length: 1000000\r\n\r\n"
    end = time.monotonic() + seconds
    lines = [connected(target.url) for _ in range(SLOW_BODIES)]
    for line in lines:
        line.sendall(head.encode())
    while time.monotonic() < end:
        for line in lines:
            with suppress(OSError):
                line.sendall(b"a")
        time.sleep(1)
    for line in lines:
        line.close()


def many_streams(target: Target, seconds: float) -> None:
    """Event streams that nobody reads, each opened again when it is cut."""
    with administrator(target) as http:
        job = http.get("/v1/jobs").json()["items"][0]["id"]
    head = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.key}\r\n\r\n"
    end = time.monotonic() + seconds
    lines = [connected(target.url) for _ in range(STREAMS)]
    for line in lines:
        line.sendall(head.encode())
    while time.monotonic() < end:
        time.sleep(0.05)
        lines.pop(0).close()
        lines.append(connected(target.url))
        lines[-1].sendall(head.encode())
    for line in lines:
        line.close()


def full_disk(target: Target, seconds: float) -> None:
    """Not a byte is free; an upload is declined for that reason, and taken once there is space again."""
    filler = target.folder.parent / "filler"
    with administrator(target) as http:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        try:
            time.sleep(seconds * 0.8)
            declined = http.post("/v1/models", content=b"a" * (1 << 20)).status_code
            ready = http.get("/readyz").status_code
        finally:
            filler.unlink()
        time.sleep(seconds * 0.1)
        taken = http.post("/v1/models", content=b"b" * (1 << 20)).status_code
    if (declined, ready, taken) != (507, 503, 201):
        raise RuntimeError(f"with a full disk: upload {declined}, /readyz {ready}; then upload {taken}")


def clock_that_went_back(target: Target, seconds: float) -> None:
    """The store has seen a later time than it is, as after the clock was set back by an hour; /readyz says so meanwhile."""
    database = Database(f"sqlite:///{target.folder}/fractune.db")

    def see(at: float) -> None:
        with database.write() as connection:
            connection.execute(update(clock).values(seen_at=at))

    with administrator(target) as http:
        see(time.time() + BACK_S)
        time.sleep(seconds * 0.8)
        told = http.get("/readyz").json()["checks"]["clock"]
        see(time.time())
    if told == "ok":
        raise RuntimeError("the clock went back, and /readyz says it is well")


def administrator(target: Target) -> httpx.Client:
    """A client with the administrator's key."""
    return httpx.Client(base_url=target.url, headers={"Authorization": f"Bearer {target.key}"}, timeout=30)


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
    "slow bodies": slow_bodies,
    "regular expressions": regular_expressions,
    "many streams": many_streams,
    "full disk": full_disk,
    "clock that went back": clock_that_went_back,
}
ALONE: tuple[Flood, ...] = (full_disk, clock_that_went_back)

if __name__ == "__main__":
    typer.run(main)
