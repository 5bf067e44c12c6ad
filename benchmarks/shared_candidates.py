"""What do more workers bring to one search, and to one front? With 1, 2 and 4 workers, whose bytes must be the same.

    python benchmarks/shared_candidates.py --out benchmarks/results/shared_candidates.json

Every worker takes one thread. Where there are fewer free processors than workers, the seconds tell little. What the first
worker's own process has used of a processor then tells how long the job would take with a processor for every worker, but
for what it waits for others.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table
from served import Service, served

from service.client import Client
from workers.machine import fingerprint

MODEL = Path(__file__).parents[1] / "examples" / "digits.onnx"
END_S, ASK_S = 3600.0, 0.2
COMMON = {"calibration": {"count": 64, "inversion_steps": 0}, "benchmark": None}
PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.5}
RECIPES = {
    "front of 5 points": {"steps": [PRUNING], "pareto": {"points": 5}},
    "search of 20 levels": {"steps": [PRUNING], "search": {"max_bytes": 600_000, "resolution": 0.05}},
}


def main(
    workers: Annotated[list[int], typer.Option(help="Numbers of workers.")] = [1, 2, 4],  # noqa: B006
    model: Annotated[Path, typer.Option(help="The model.")] = MODEL,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure, print; exit code 1 when the bytes differ."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in RECIPES}
    for number in workers:
        with served(number, {"FRACTUNE_THREADS": "1"}) as service, Client(service.url, service.key) as client:
            until_there(service, number)
            sha256 = client.upload_model(model)
            client.wait(str(client.model(sha256)["job_id"]), END_S)
            for name, recipe in RECIPES.items():
                found[name].append({"workers": number} | measured(client, sha256, recipe | COMMON))
    for name, rows in found.items():
        show(name, rows)
    same = all(len({json.dumps(row["sha256"]) for row in rows}) == 1 for rows in found.values())
    if out:
        record = {"rows": found, "same_bytes": same, "model": model.name, "machine": fingerprint().model_dump(mode="json")}
        out.write_text(json.dumps(record, indent=2) + "\n")
    raise typer.Exit(0 if same else 1)


def until_there(service: Service, number: int) -> None:
    """Wait for all workers; embedded ones start one after another."""
    headers = {"Authorization": f"Bearer {service.key}"}
    while httpx.get(f"{service.url}/metrics", headers=headers).text.count("fractune_worker_silent_seconds{") < number:
        time.sleep(ASK_S)


def measured(client: Client, model: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """One job: seconds, processor time of its own process, and which share of the layers others have solved for it."""
    began = time.monotonic()
    job = client.wait(client.submit(model, recipe)["id"], END_S)
    seconds = time.monotonic() - began
    assert job["state"] == "SUCCEEDED", job
    report = client.report(job["id"])
    layers = len(report["layers"]) * len(report["exploration"]["candidates"])
    models = [file["sha256"] for file in client.artifacts(job["id"]) if file["name"].endswith("model.bin")]
    return {
        "seconds": round(seconds, 1),
        "own_cpu_s": round(sum(stage["cpu_s"] for stage in report["time"].values()), 1),
        "solved_by_others": round(report["reused_layers"] / layers, 2),
        "candidates": len(report["exploration"]["candidates"]),
        "sha256": models,
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one recipe."""
    table = Table("workers", "seconds", "own CPU-s", "of one worker's", "solved by others", title=title)
    for row in rows:
        share = f"{rows[0]['own_cpu_s'] / row['own_cpu_s']:.2f} times less"
        table.add_row(*map(str, (row["workers"], row["seconds"], row["own_cpu_s"], share, f"{row['solved_by_others']:.0%}")))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
