"""What do more workers bring? Many small jobs, and one large one whose layers they share, with 1, 2 and 4 workers.

    python benchmarks/scale_out.py --large resnet50.xml --out benchmarks/results/scale_out.json

Every worker takes one thread, so that up to as many workers as processors each have their own. The results must be the same
bytes whatever the number of workers.
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
SHARED = {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}],
    "calibrate_on": "original",
    "calibration": {"count": 48},
    "benchmark": None,
}


def main(
    workers: Annotated[list[int], typer.Option(help="Numbers of workers.")] = [1, 2, 4],  # noqa: B006
    jobs: Annotated[int, typer.Option(help="How many jobs each time.")] = 12,
    large: Annotated[Path | None, typer.Option(help="A model for the one large job; none without.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure, print; exit code 1 when a job failed or the bytes differ."""
    found = {f"{jobs} jobs": [measured(number, MODEL, list(map(recipe, range(jobs)))) for number in workers]}
    if large:
        found[f"one job, {large.stem}"] = [measured(number, large, [SHARED]) for number in workers]
    for title, rows in found.items():
        show(title, rows)
    same = all(len({json.dumps(row["sha256"]) for row in rows}) == 1 for rows in found.values())
    if out:
        record = {"rows": found, "same_bytes": same, "machine": fingerprint().model_dump(mode="json")}
        out.write_text(json.dumps(record, indent=2) + "\n")
    raise typer.Exit(0 if same else 1)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one kind of work."""
    table = Table("workers", "seconds", "times as fast as one", title=f"{title}, {os.cpu_count()} processors")
    for row in rows:
        table.add_row(str(row["workers"]), str(row["seconds"]), str(round(rows[0]["seconds"] / row["seconds"], 2)))
    Console().print(table)


def measured(workers: int, path: Path, recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds from the first submission to the last end, with that many workers."""
    with served(workers, {"FRACTUNE_THREADS": "1"}) as service, Client(service.url, service.key) as client:
        client.wait(client.submit(client.upload_model(MODEL), recipe(0))["id"], END_S)  # everything is loaded
        model = client.upload_model(path)
        client.wait(str(client.model(model)["job_id"]), END_S)  # and the model inspected
        began = time.monotonic()
        ids = [client.submit(model, recipe)["id"] for recipe in recipes]
        ended = [client.wait(job_id, END_S) for job_id in ids]
        seconds = time.monotonic() - began
        assert all(job["state"] == "SUCCEEDED" for job in ended), ended
        hashes = [file["sha256"] for job_id in ids for file in client.artifacts(job_id) if file["name"] == "1/model.bin"]
    return {"workers": workers, "seconds": round(seconds, 1), "sha256": hashes}


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
