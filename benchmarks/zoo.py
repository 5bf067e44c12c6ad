"""What becomes of every model in some folders: a table of outcome, agreement and time for a few recipes.

    python benchmarks/zoo.py FOLDER ... [--shape MODEL:INPUT[1,3,64,64]] --out zoo.jsonl
    python benchmarks/zoo.py --table zoo.jsonl

Every run is `fractune optimize` in a process of its own, on a few made-up samples, held to a time. A line of JSON is appended
as soon as a run ends; runs that the file has already are not done again. A refusal is an outcome, `INTERNAL` is a fault.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

RECIPES: dict[str, list[dict[str, Any]]] = {
    "prune 0.5": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}],
    "int8": [{"method": "int8"}],
    "inq 4": [{"method": "inq", "bits": 4}],
}
MODELS = {".onnx", ".xml", ".tflite", ".pb", ".pdmodel", ".caffemodel", ".th", ".h5", ".jit", ".pt"}


def main(
    folders: Annotated[list[Path] | None, typer.Argument(help="Models, or folders that are searched for them.")] = None,
    out: Annotated[Path, typer.Option(help="Where results are appended.")] = Path("zoo.jsonl"),
    shape: Annotated[list[str] | None, typer.Option(help="FILE:INPUT[LENGTHS] for open inputs of one file.")] = None,
    samples: Annotated[int, typer.Option(help="Made-up samples that calibrate.")] = 16,
    limit: Annotated[int, typer.Option(help="Seconds that a run may take.")] = 600,
    table: Annotated[Path | None, typer.Option(help="Draw the table of these results instead.")] = None,
) -> None:
    """Run the recipes over models, or draw the table."""
    if table:
        print("\n".join(drawn(read(table))))  # noqa: T201
        return
    done = {(row["model"], row["recipe"]) for row in read(out)}
    for model in sorted(found(folders or []), key=lambda path: path.stat().st_size):
        name = model.parent.name if model.name == "saved_model.pb" else model.name
        shapes = [text.partition(":")[2] for text in shape or [] if text.partition(":")[0] == name]
        for recipe, steps in RECIPES.items():
            if (name, recipe) not in done:
                row = {"model": name, "recipe": recipe, **run(model, steps, shapes, samples, limit)}
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def found(places: list[Path]) -> Iterator[Path]:
    """Models among files and folders; a SavedModel is its folder's."""
    for place in places:
        files = [place] if place.is_file() else place.rglob("*")
        yield from (path for path in files if path.is_file() and path.suffix in MODELS)


def read(path: Path) -> list[dict[str, Any]]:
    """The results in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(model: Path, steps: list[dict[str, Any]], shapes: list[str], samples: int, limit: int) -> dict[str, Any]:
    """One recipe on one model: its outcome, and the figures where there is a result."""
    source = model.parent if model.name == "saved_model.pb" else model
    with TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.json"
        calibration = {"count": samples, "inversion_steps": 0}
        recipe.write_text(json.dumps({"steps": steps, "calibration": calibration, "benchmark": None}))
        command: list[Any] = [Path(sys.executable).with_name("fractune"), "optimize", source, "--recipe", recipe]
        command += ["--out", Path(folder) / "out", "--threads", "1", "--quiet"]
        for text in shapes:
            command += ["--shape", text]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        try:
            ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=limit, check=False)
            outcome = told(ended)
        except subprocess.TimeoutExpired:
            outcome = {"outcome": "out of time"}
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        report = Path(folder) / "out" / "report.json"
        figures = measured(json.loads(report.read_text())) if report.exists() else {}
        return {**outcome, **figures, "cpu_s": round(cpu, 1), "wall_s": round(time.perf_counter() - began, 1)}


def told(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """How a command ended: `result`, or the code of the refusal with its sentence."""
    if ended.returncode in (0, 3, 4):
        return {"outcome": "result"}
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    code = next((line for line in lines if line.split()[0].isupper() and "_" in line.split()[0] or "INTERNAL" in line), "?")
    return {"outcome": code.split()[0], "reason": code}


def measured(report: dict[str, Any]) -> dict[str, Any]:
    """Layers, size and fidelity of a result."""
    fidelity = report["fidelity"]
    figures = {name: (fidelity[name] or {}).get("value") for name in ("agreement", "relative_error")}
    size = report["size"]
    return {"layers": len(report["layers"]), "smaller": size["original_bytes"] / size["compressed_bytes"], **figures}


def drawn(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A table in Markdown, a model a line; agreement where outputs decide something, else the relative error."""
    yield "| model | " + " | ".join(RECIPES) + " |"
    yield "|---|" + "---|" * len(RECIPES)
    results = {(row["model"], row["recipe"]): row for row in rows}
    for model in dict.fromkeys(row["model"] for row in rows):
        yield f"| {model} | " + " | ".join(cell(results.get((model, recipe))) for recipe in RECIPES) + " |"


def cell(row: dict[str, Any] | None) -> str:
    """One result."""
    if row is None:
        return "not run"
    if row["outcome"] != "result":
        return f"`{row['outcome']}`" if row["outcome"].isupper() else row["outcome"]
    error = row.get("relative_error")
    fidelity = (
        f"{100 * row['agreement']:.1f} %"
        if row.get("agreement") is not None
        else f"error {error:.2g}"
        if error is not None
        else "—"
    )
    return f"{fidelity}, {row['cpu_s']:.0f} s"


if __name__ == "__main__":
    typer.run(main)
