"""How many jobs an hour do more workers do? The same small jobs on a service with 1, 2 and 4 of them.

    python benchmarks/scale_out.py --out benchmarks/results/scale_out.json

Every job takes one thread, so that up to as many workers as processors each have their own. The results must be the same bytes
whatever the number of workers.
"""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from served import served

from service.client import Client
from workers.machine import fingerprint

MODEL = Path(__file__).parents[1] / "examples" / "digits.onnx"
SPARSITIES = (0.4, 0.5, 0.6, 0.7)
END_S = 3600.0


def main(
    workers: Annotated[list[int], typer.Option(help="Numbers of workers.")] = [1, 2, 4],  # noqa: B006
    jobs: Annotated[int, typer.Option(help="How many jobs each time.")] = 12,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure, print; exit code 1 when a job failed or the bytes differ."""
    rows = [measured(number, jobs) for number in workers]
    table = Table("workers", "seconds", "jobs an hour", "times one worker's", title=f"{jobs} jobs, {os.cpu_count()} processors")
    for row in rows:
        row["speedup"] = round(rows[0]["seconds"] / row["seconds"], 2)
        table.add_row(*(str(row[name]) for name in ("workers", "seconds", "jobs_per_hour", "speedup")))
    Console().print(table)
    same = len({json.dumps(row["sha256"]) for row in rows}) == 1
    if out:
        record = {"jobs": jobs, "rows": rows, "same_bytes": same, "machine": fingerprint().model_dump(mode="json")}
        out.write_text(json.dumps(record, indent=2) + "\n")
    raise typer.Exit(0 if same else 1)


def measured(workers: int, jobs: int) -> dict[str, Any]:
    """Seconds from the first submission to the last end, with that many workers."""
    with served(workers, {"FRACTUNE_THREADS": "1"}) as service, Client(service.url, service.key) as client:
        model = client.upload_model(MODEL)
        client.wait(client.submit(model, recipe(0))["id"], END_S)  # everything is loaded, and the model inspected
        began = time.monotonic()
        ids = [client.submit(model, recipe(number))["id"] for number in range(jobs)]
        ended = [client.wait(job_id, END_S) for job_id in ids]
        seconds = time.monotonic() - began
        assert all(job["state"] == "SUCCEEDED" for job in ended), ended
        hashes = [file["sha256"] for job_id in ids for file in client.artifacts(job_id) if file["name"] == "1/model.bin"]
    return {"workers": workers, "seconds": round(seconds, 1), "jobs_per_hour": round(3600 * jobs / seconds), "sha256": hashes}


def recipe(number: int) -> dict[str, Any]:
    """A job of some seconds."""
    return {
        "steps": [{"method": "layerwise_pruning", "sparsity_level": SPARSITIES[number % len(SPARSITIES)]}],
        "preprocessing": {"mean_values": [80.0], "scale_values": [96.0], "layout": "NCHW", "resize": 32},
        "calibration": {"count": 256},
        "benchmark": None,
    }


if __name__ == "__main__":
    typer.run(main)
