"""What must be quick: the start of the command line, a cancel, and the end of the service.

    python benchmarks/latency.py --before ../older --out benchmarks/results/latency.json

The processor seconds of a start are the median of several, in turns with an older checkout where there is one.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from served import served

from service.client import Client
from workers.machine import fingerprint

ROOT = Path(__file__).parents[1]
STARTS = ((), ("--help",), ("--version",), ("jobs",), ("optimize", "--help"))
STAND_IN = [sys.executable, str(ROOT / "tests" / "stand_in.py")]
RECIPE = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}], "benchmark": None}


def cpu_seconds(checkout: Path, arguments: Sequence[str]) -> float:
    """Processor time of one `fractune`, which finds no service."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "FRACTUNE_URL": "http://127.0.0.1:9"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "service", *arguments], env=environment, cwd="/", capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def starts(checkouts: dict[str, Path], repeats: int) -> list[dict[str, Any]]:
    """Medians by command, the checkouts in turns."""
    rows = []
    for arguments in STARTS:
        times: dict[str, list[float]] = {name: [] for name in checkouts}
        for _ in range(repeats):
            for name, checkout in checkouts.items():
                times[name].append(cpu_seconds(checkout, arguments))
        rows.append({"command": " ".join(("fractune", *arguments))} | {name: median(found) for name, found in times.items()})
    return rows


def ends() -> dict[str, float]:
    """Seconds from a cancel until a job that ignores signals has ended, and from SIGTERM until `fractune serve` has."""
    with served(1, {"FRACTUNE_CHILD_COMMAND": json.dumps(STAND_IN)}) as service, Client(service.url, service.key) as client:
        model = service.folder / "hang.onnx"
        model.write_text(json.dumps({"compress": "hang"}))
        job = client.submit(client.upload_model(model), RECIPE)
        while not client.job(job["id"])["progress"]:
            time.sleep(0.05)
        began = time.monotonic()
        client.cancel(job["id"])
        client.wait(job["id"])
        canceled = time.monotonic() - began
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait()
        return {"cancel_s": canceled, "stop_s": time.monotonic() - began}


def main(
    before: Annotated[Path | None, typer.Option(help="A folder with an older version, to compare with.")] = None,
    repeats: int = 7,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the results.")] = None,
) -> None:
    """Measure, and show the figures."""
    found = starts({**({"before": before.resolve()} if before else {}), "now": ROOT}, repeats)
    ended = ends()
    table = Table("", "before", "now")
    for row in found:
        table.add_row(row["command"], f"{row['before']:.2f} CPU-s" if before else "", f"{row['now']:.2f} CPU-s")
    for name, seconds in ended.items():
        table.add_row(name, "", f"{seconds:.2f} s")
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps({"machine": fingerprint().model_dump(), "starts": found, **ended}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
