"""What becomes of every model in some folders: a table of outcome, agreement and time for a few recipes.

    python benchmarks/zoo.py FOLDER ... [--shape MODEL:INPUT[1,3,64,64]] --out zoo.jsonl
    python benchmarks/zoo.py FOLDER ... [--shape ...] --renew --out zoo.jsonl
    python benchmarks/zoo.py --table zoo.jsonl
    python benchmarks/zoo.py --forecasts zoo.jsonl

Every run is `fractune optimize` in a process of its own, on a few made-up samples, held to a time; what `fractune plan`
foresees of it stands beside the outcome. A line of JSON is appended as soon as a run ends; runs that the file has are not done
again, but `--renew` asks for their forecasts anew. A refusal is an outcome, `INTERNAL` is a fault.
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
    renew: Annotated[bool, typer.Option("--renew", help="Foresee again what has been run; nothing is run.")] = False,
    table: Annotated[Path | None, typer.Option(help="Draw the table of these results instead.")] = None,
    forecasts: Annotated[Path | None, typer.Option(help="Draw what was foreseen beside these results instead.")] = None,
) -> None:
    """Run the recipes over models, or draw a table."""
    if table or forecasts:
        print("\n".join(drawn(read(table)) if table else foreseen(read(forecasts or out))))  # noqa: T201
        return
    rows = read(out)
    done = {(row["model"], row["recipe"]): row for row in rows}
    for model in sorted(found(folders or []), key=lambda path: path.stat().st_size):
        name = model.parent.name if model.name == "saved_model.pb" else model.name
        shapes = [text.partition(":")[2] for text in shape or [] if text.partition(":")[0] == name]
        for recipe, steps in RECIPES.items():
            row = done.get((name, recipe))
            if row is None and not renew:
                row = {"model": name, "recipe": recipe, **run(model, steps, shapes, samples, limit)}
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            elif row and renew and row["outcome"] == "result":
                row["forecast"] = forecast(model, steps, shapes, row["samples"])
    if renew:
        out.write_text("".join(json.dumps(row) + "\n" for row in rows))


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
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        options = ["--out", out, "--threads", "1", "--quiet"]
        command = called("optimize", model, wanted(steps, samples, Path(folder)), shapes) + list(map(str, options))
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        try:
            outcome = told(subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False))
        except subprocess.TimeoutExpired:
            outcome = {"outcome": "out of time"}
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        figures: dict[str, Any] = {"samples": samples, "cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}
        if outcome["outcome"] == "result":
            figures |= measured(json.loads((out / "report.json").read_text()))
            figures["forecast"] = forecast(model, steps, shapes, samples)
        return {**outcome, **figures}


def forecast(model: Path, steps: list[dict[str, Any]], shapes: list[str], samples: int) -> dict[str, Any]:
    """What `fractune plan` foresees of a run: seconds on one core, memory, and bytes on disk."""
    with TemporaryDirectory() as folder:
        command = [*called("plan", model, wanted(steps, samples, Path(folder)), shapes), "--json"]
        plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return {name: plan[name] for name in ("seconds", "memory_bytes", "compressed_bytes")}


def wanted(steps: list[dict[str, Any]], samples: int, folder: Path) -> Path:
    """The file of a recipe."""
    recipe = {"steps": steps, "calibration": {"count": samples, "inversion_steps": 0}, "benchmark": None}
    file = folder / "recipe.json"
    file.write_text(json.dumps(recipe))
    return file


def called(name: str, model: Path, recipe: Path, shapes: list[str]) -> list[str]:
    """A command on a model; a SavedModel is its folder."""
    source = model.parent if model.name == "saved_model.pb" else model
    given = [part for text in shapes for part in ("--shape", text)]
    return [str(Path(sys.executable).with_name("fractune")), name, str(source), "--recipe", str(recipe), *given]


def told(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """How a command ended: `result`, or the code of the refusal with its sentence."""
    if ended.returncode in (0, 3, 4):
        return {"outcome": "result"}
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    code = next((line for line in lines if line.split()[0].isupper() and "_" in line.split()[0] or "INTERNAL" in line), "?")
    return {"outcome": code.split()[0], "reason": code}


def measured(report: dict[str, Any]) -> dict[str, Any]:
    """Layers, size, fidelity, memory and the seconds of its stages of a result."""
    fidelity = report["fidelity"]
    figures = {name: (fidelity[name] or {}).get("value") for name in ("agreement", "relative_error")}
    size = report["size"]
    figures |= {"layers": len(report["layers"]), "smaller": size["original_bytes"] / size["compressed_bytes"]}
    stages = {stage: round(spent["cpu_s"], 2) for stage, spent in report["time"].items()}
    return {**figures, "compressed_bytes": size["compressed_bytes"], "peak_bytes": report["peak_rss_bytes"], "stages": stages}


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


FORESEEN = {  # by its name in a forecast: the outcome's, and how it is told
    "seconds": ("cpu_s", 1, "s"),
    "memory_bytes": ("peak_bytes", 1e6, "MB"),
    "compressed_bytes": ("compressed_bytes", 1e6, "MB"),
}


def foreseen(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A table in Markdown of forecasts, outcomes and their ratios, a run a line, and a sentence on how far off they are."""
    yield "| model | recipe | time | memory | size |"
    yield "|---|---|---|---|---|"
    told = [row for row in rows if row.get("forecast")]
    for row in told:
        cells = (compared(row["forecast"][name], row[of], unit, what) for name, (of, unit, what) in FORESEEN.items())
        yield f"| {row['model']} | {row['recipe']} | {' | '.join(cells)} |"
    off = sorted(factor(row["forecast"]["seconds"], row["cpu_s"]) for row in told)
    yield ""
    yield (
        f"{sum(each <= 1.5 for each in off)} of {len(off)} forecasts of time lie within a factor of 1.5; "
        f"the median is off by {off[len(off) // 2]:.2f}, the worst by {off[-1]:.2f}."
    )


def compared(forecast: float, outcome: float, unit: float, what: str) -> str:
    """Forecast, outcome and their ratio."""
    return f"{forecast / unit:.3g} / {outcome / unit:.3g} {what}, {forecast / outcome:.2f}"


def factor(first: float, second: float) -> float:
    """By which two numbers differ, 1 or more."""
    return max(first / second, second / first)


if __name__ == "__main__":
    typer.run(main)
