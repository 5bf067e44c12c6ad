"""How fast the API answers while a job keeps a worker busy.

    python benchmarks/service_load.py --out benchmarks/results/service_load.json

Starts the embedded service on this machine, gives its worker a job that computes without end, and plays clients: some poll a
job once a second, some list jobs once a second, some follow event streams. Clients speak bare HTTP over connections that they
keep, for theirs is the machine that the service is measured on. The exit code is 1 when a request failed or the slowest
percentile took longer than LIMIT_MS.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import numpy as np
import typer
from served import served

from workers.machine import fingerprint

BUSY = (sys.executable, "-c", "while True: pass")
RECIPE = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}]}
JOBS = 50
LIMIT_MS = 250.0


@dataclass(frozen=True)
class Clients:
    """How many do what."""

    pollers: int
    listers: int
    followers: int


def main(
    pollers: Annotated[int, typer.Option(help="Clients that poll a job once a second.")] = 200,
    listers: Annotated[int, typer.Option(help="Clients that list jobs once a second.")] = 20,
    followers: Annotated[int, typer.Option(help="Clients that follow an event stream.")] = 20,
    seconds: Annotated[float, typer.Option(help="How long.")] = 30.0,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure, print, and write the figures."""
    clients = Clients(pollers, listers, followers)
    with served(1, {"FRACTUNE_CHILD_COMMAND": json.dumps(BUSY)}) as service:
        jobs = submit(service.url, service.key)
        waits, failures = asyncio.run(play(service.url, service.key, jobs, clients, seconds))
    figures = {name: summary(np.array(each)) for name, each in waits.items() if each}
    met = not failures and all(figure["p99_ms"] < LIMIT_MS for figure in figures.values())
    record = {
        "clients": vars(clients),
        "seconds": seconds,
        "failures": failures,
        **figures,
        "limit_p99_ms": LIMIT_MS,
        "met": met,
        "machine": fingerprint().model_dump(mode="json"),
    }
    text = json.dumps(record, indent=2)
    typer.echo(text)
    if out:
        out.write_text(text + "\n")
    raise typer.Exit(0 if met else 1)


def submit(url: str, key: str) -> list[str]:
    """Waiting jobs; the inspection of their model keeps the worker busy."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        model = http.post("/v1/models", content=b"model").raise_for_status().json()["sha256"]
        answers = [http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}) for _ in range(JOBS)]
    return [answer.raise_for_status().json()["id"] for answer in answers]


async def play(
    url: str, key: str, jobs: list[str], clients: Clients, seconds: float
) -> tuple[dict[str, list[float]], list[str]]:
    """Seconds until each answer by what was asked, and what failed."""
    waits: dict[str, list[float]] = {"poll": [], "list": [], "stream": []}
    end = time.monotonic() + seconds
    streams = [
        asyncio.create_task(follow(Line(url, key), f"/v1/jobs/{jobs[n % JOBS]}/events", waits["stream"]))
        for n in range(clients.followers)
    ]
    polls = [
        ask(Line(url, key), f"/v1/jobs/{jobs[n % JOBS]}", n / clients.pollers, end, waits["poll"])
        for n in range(clients.pollers)
    ]
    lists = [ask(Line(url, key), "/v1/jobs?limit=50", n / clients.listers, end, waits["list"]) for n in range(clients.listers)]
    answers = await asyncio.gather(*polls, *lists, return_exceptions=True)
    broken = [stream for stream in streams if stream.done()]
    for stream in streams:
        stream.cancel()
    ends = await asyncio.gather(*streams, return_exceptions=True)
    failures = [repr(answer) for answer in (*answers, *ends) if isinstance(answer, Exception)]
    return waits, failures + ["a stream ended"] * len(broken)


class Line:
    """A connection that is kept."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = urlsplit(url), key

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._url.hostname, self._url.port)

    async def request(self, path: str) -> int | None:
        """Send a GET and read the head of its answer: the length of the body, if it says. Raises OSError but for a 200."""
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nAuthorization: Bearer {self._key}\r\n\r\n".encode()
        )
        status, *headers = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        if status.split()[1] != "200":
            raise OSError(f"GET {path}: {status}")
        lengths = [line.partition(":")[2] for line in headers if line.startswith("content-length:")]
        return int(lengths[0]) if lengths else None

    async def get(self, path: str) -> bytes:
        """The body of a GET."""
        return await self._reader.readexactly(await self.request(path) or 0)

    async def line(self) -> bytes:
        """The next line of a stream; empty at its end."""
        return await self._reader.readline()


async def ask(line: Line, path: str, delay: float, end: float, waits: list[float]) -> None:
    """Once a second."""
    await asyncio.sleep(delay)
    await line.open()
    while time.monotonic() < end:
        began = time.monotonic()
        await line.get(path)
        waits.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, 1 - waits[-1]))


async def follow(line: Line, path: str, waits: list[float]) -> None:
    """An event stream to its end; what counts is the time to its first event."""
    began = time.monotonic()
    await line.open()
    await line.request(path)
    while not (await line.line()).startswith(b"data:"):
        pass
    waits.append(time.monotonic() - began)
    while await line.line():
        pass


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Milliseconds."""
    milliseconds = seconds * 1000
    percentiles = {f"p{percent}_ms": round(float(np.percentile(milliseconds, percent)), 1) for percent in (50, 95, 99)}
    return {"answers": len(milliseconds), **percentiles, "max_ms": round(float(milliseconds.max()), 1)}


if __name__ == "__main__":
    typer.run(main)
