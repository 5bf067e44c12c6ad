"""Does the service keep what it was given? Small jobs, while children, workers and the broker are killed at random.

    python benchmarks/chaos.py --jobs 200 --kills 24 --out benchmarks/results/chaos.json

First every recipe is done once in peace; then the same recipes are submitted again and again to a service in which one process
after the other gets SIGKILL. In the end every job must have succeeded, once, with the bytes of the peaceful run. The exit code
is 1 if one has not, or if anything was left behind.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from rich.console import Console
from served import READY_S, Service, ready, served

from service.client import Client
from workers.jobs.job import TERMINAL
from workers.machine import fingerprint

MODEL = Path(__file__).parents[1] / "examples" / "digits.onnx"
SPARSITIES = (0.3, 0.5, 0.7, 0.8)
# How soon a silent worker is given up; in the field these are larger, and recovery takes longer in proportion.
PATIENCE = {"FRACTUNE_LEASE_S": "4", "FRACTUNE_HEARTBEAT_S": "0.5", "FRACTUNE_REQUEUE_S": "4"}
VARIABLES = {**PATIENCE, "FRACTUNE_MAX_ATTEMPTS": "20", "FRACTUNE_THREADS": "1"}  # so that chance alone makes no job poison
KILLED = {  # the words of a command by which a process is known
    "child": {"workers.run.child"},
    "worker": {"workers.worker"},
    "broker": {"valkey-server", "redis-server"},
    "api": {"service.api"},
}
ODDS = (0.3, 0.3, 0.2, 0.2)
FAULTS = ("lost", "duplicated_effects", "other_bytes", "left_behind")
END_S = 3600.0
HASHED = ("1/model.xml", "1/model.bin", "model.zip")
console = Console(stderr=True)


@dataclass
class Kill:
    """A process that was ended."""

    at: float  # seconds since 1970
    what: str
    job: str | None = None  # that it worked on
    attempt: int = 0
    recovery_s: float | None = None  # until the job could be taken again, or every part of the service was there again
    at_work_s: float | None = None  # until the job was at work again, after its turn in the queue


def family(service: Service) -> list[psutil.Process]:
    """Every process but the supervisor itself."""
    return psutil.Process(service.process.pid).children(recursive=True)


def strike(service: Service, what: str, rng: np.random.Generator) -> Kill | None:
    """Kill one process of that kind, if there is one."""
    found = [process for process in family(service) if KILLED[what] & set(command(process))]
    if not found:
        return None
    victim = found[rng.integers(len(found))]
    held = next(filter(None, map(workplace, [victim, *descendants(victim)])), None)
    with suppress(psutil.NoSuchProcess):
        victim.kill()
        return Kill(time.time(), what, *(held or ()))
    return None


def main(
    jobs: Annotated[int, typer.Option(help="How many jobs.")] = 200,
    kills: Annotated[int, typer.Option(help="How many kills, at least.")] = 24,
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 2,
    pause_s: Annotated[float, typer.Option(help="Mean time between two kills.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Of the kills.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Disturb, count, print."""
    with served(workers, VARIABLES) as service, Client(service.url, service.key, patience_s=120) as client:
        model = client.upload_model(MODEL)
        console.print(f"{len(SPARSITIES)} jobs in peace")
        peaceful = [hashes(client, in_peace(client, model, place)) for place in range(len(SPARSITIES))]
        began = time.monotonic()
        ids = [client.submit(model, recipe(place), name="chaos")["id"] for place in range(jobs)]
        strikes = disturb(service, client, kills, pause_s, np.random.default_rng(seed))
        seconds = time.monotonic() - began
        figures = examine(service, client, ids, peaceful, strikes)
        left = family(service)
    figures["left_behind"] += [str(process) for process in left if alive(process)]
    figures["seconds"] = round(seconds, 1)
    figures["good"] = figures["ended"] == jobs and not any(figures[name] for name in FAULTS)
    console.print_json(json.dumps(figures))
    if out:
        settings = {"jobs": jobs, "kills": kills, "workers": workers, "seed": seed, "pause_s": pause_s, **PATIENCE}
        machine = fingerprint().model_dump(mode="json")
        record = {**figures, "settings": settings, "machine": machine, "strikes": [asdict(kill) for kill in strikes]}
        out.write_text(json.dumps(record, indent=2) + "\n")
    raise typer.Exit(0 if figures["good"] else 1)


def examine(
    service: Service, client: Client, ids: Sequence[str], peaceful: Sequence[dict[str, str]], strikes: Sequence[Kill]
) -> dict[str, Any]:
    """What became of the jobs."""
    ended = [client.job(job_id) for job_id in ids]
    histories = {job_id: list(client.events(job_id)) for job_id in ids}
    for kill in strikes:
        if kill.job:
            kill.recovery_s = since(kill, histories, {"QUEUED", *TERMINAL}, kill.attempt)
            kill.at_work_s = since(kill, histories, {"RUNNING", *TERMINAL}, kill.attempt + 1)
    good = [(place, job["id"]) for place, job in enumerate(ended) if job["state"] == "SUCCEEDED"]
    known = sum(1 for _ in client.jobs(name="chaos"))
    return {
        "submitted": len(ids),
        "ended": sum(job["state"] in TERMINAL for job in ended),
        "lost": len(ids) - len(good),
        "duplicated_effects": sum(map(duplicates, histories.values())) + abs(known - len(set(ids))),
        "other_bytes": sum(hashes(client, job_id) != peaceful[place % len(SPARSITIES)] for place, job_id in good),
        "left_behind": leftovers(service.folder / "jobs", ids),
        "recovery_s": summary([kill.recovery_s for kill in strikes if kill.recovery_s is not None]),
        "at_work_again_s": summary([kill.at_work_s for kill in strikes if kill.at_work_s is not None]),
        "kills": len(strikes),
        "kills_by_process": Counter(kill.what for kill in strikes),
        "kills_that_struck_a_job": sum(kill.job is not None for kill in strikes),
        "jobs_by_attempts": Counter(job["attempt"] for job in ended),
        "failures": Counter(job["failure"]["code"] for job in ended if job["failure"]),
    }


def recipe(place: int) -> dict[str, Any]:
    """A small job; every so many are alike."""
    return {
        "steps": [{"method": "layerwise_pruning", "sparsity_level": SPARSITIES[place % len(SPARSITIES)]}],
        "preprocessing": {"mean_values": [80.0], "scale_values": [96.0], "layout": "NCHW", "resize": 32},
        "calibration": {"count": 32},
        "benchmark": None,
    }


def in_peace(client: Client, model: str, place: int) -> str:
    """A job that nobody disturbs; its id once it has ended."""
    job = client.wait(client.submit(model, recipe(place))["id"], END_S)
    if job["state"] != "SUCCEEDED":
        raise RuntimeError(f"The undisturbed job failed: {job['failure']}")
    return str(job["id"])


def disturb(service: Service, client: Client, kills: int, pause_s: float, rng: np.random.Generator) -> list[Kill]:
    """Kill until there were enough kills, then let the jobs end."""
    strikes: list[Kill] = []
    deadline = time.monotonic() + END_S
    while (left := unfinished(client)) and time.monotonic() < deadline:
        if len(strikes) < kills:
            time.sleep(rng.exponential(pause_s))
            kill = strike(service, str(rng.choice(list(KILLED), p=ODDS)), rng)
            if kill is not None:
                strikes.append(kill)
                console.print(f"{left} jobs left; kill {len(strikes)}: {kill.what} {kill.job or ''}")
                if kill.job is None:
                    kill.recovery_s = until_ready(service.url)
        else:
            time.sleep(1)
    return strikes


def until_ready(url: str) -> float:
    """Seconds until every part of the service works."""
    began = time.monotonic()
    while not ready(url) and time.monotonic() - began < READY_S:
        time.sleep(0.05)
    return time.monotonic() - began


def unfinished(client: Client) -> int:
    """How many of the jobs have not ended."""
    return sum(job["state"] not in TERMINAL for job in client.jobs(name="chaos"))


def hashes(client: Client, job_id: str) -> dict[str, str]:
    """The SHA-256 of every file that does not tell the time."""
    return {file["name"]: file["sha256"] for file in client.artifacts(job_id) if file["name"] in HASHED}


def duplicates(events: Sequence[dict[str, Any]]) -> int:
    """Effects that came twice: an attempt that began beside another one, a second end, anything after the end."""
    states = [event["data"]["state"] for event in events if event["type"] == "state"]
    beside = sum(left == right for left, right in zip(states, states[1:], strict=False))
    ends = [place for place, event in enumerate(events) if event["type"] == "state" and event["data"]["state"] in TERMINAL]
    after = len(events) - 1 - ends[0] if ends else 0
    attempts = [event["attempt"] for event in events if event["type"] == "state" and event["data"]["state"] == "RUNNING"]
    return beside + after + len(attempts) - len(set(attempts))


def since(kill: Kill, histories: dict[str, list[dict[str, Any]]], states: Collection[str], attempt: int) -> float | None:
    """Seconds until the job that was struck came to one of `states` in that attempt; None when it had just ended."""
    for event in histories.get(kill.job or "", ()):
        seconds = datetime.fromisoformat(event["at"]).timestamp() - kill.at
        if event["type"] == "state" and event["data"]["state"] in states and event["attempt"] == attempt and seconds > 0:
            return seconds
    return None


def leftovers(folder: Path, ids: Sequence[str]) -> list[str]:
    """What ended jobs keep besides their logs and one set of results."""
    kept = [path for job_id in ids for path in (folder / job_id).glob("*/*") if path.name != "log.txt"]
    results = Counter(path.parents[1] for path in kept if path.name == "out")
    return [str(path) for path in kept if path.name != "out" or results[path.parents[1]] > 1]


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    """Count, median and the longest."""
    if not seconds:
        return {"count": 0}
    return {"count": len(seconds), "median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)}


def command(process: psutil.Process) -> list[str]:
    """The words of its command line, without folders; empty once it is gone. A server may write them all into one argument."""
    try:
        return [Path(word).name for argument in process.cmdline() for word in argument.split()]
    except psutil.Error:
        return []


def alive(process: psutil.Process) -> bool:
    """Whether it runs."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Everything it started that is alive."""
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def workplace(process: psutil.Process) -> tuple[str, int] | None:
    """Job and attempt of a child: its last argument is their folder."""
    if "workers.run.child" not in command(process):
        return None
    try:
        folder = Path(process.cmdline()[-1])
    except psutil.Error:
        return None
    return folder.parent.name, int(folder.name)


if __name__ == "__main__":
    typer.run(main)
