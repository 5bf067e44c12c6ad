"""int8 within a limit: Fractune's search against NNCF's accuracy control, on the same pictures: accuracy, speed, CPU-seconds.

    python benchmarks/int8_search.py MODEL CALIBRATION EVALUATION --preprocessing '{"crop": 224}'
    python benchmarks/int8_search.py MODEL CALIBRATION EVALUATION --metric agreement

Fractune runs as a command of its own. NNCF runs in another process on the same samples, and may look at all of those that
judge, of which Fractune selects on one half and judges on the other where the calibration file has none to spare. Both models
then answer all of them, and are timed beside the original. With a metric that needs no labels, which NNCF's control has no
notion of, Fractune runs alone. Figures are printed, and written to `benchmarks/results/int8_search.json` by the model's name.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import nncf
import numpy as np
import openvino as ov
import typer

from workers.calibration.data_splits import calibration_samples
from workers.calibration.samples import Samples
from workers.evaluation.benchmark import compare_speed
from workers.ir.graph.frontier import EXACT
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.recipe import BenchmarkSettings, Recipe

RESULTS = Path(__file__).parent / "results" / "int8_search.json"
Figures = dict[str, Any]


def main(
    model: Path,
    calibration: Path,
    evaluation: Path,
    preprocessing: str = "{}",
    metric: str = "accuracy",
    max_drop: float = 0.01,
    samples: int = 300,
    peer: Annotated[Path | None, typer.Option(hidden=True, help="Be the process in which NNCF writes a model there.")] = None,
) -> None:
    """Measure both."""
    recipe = {
        "steps": [{"method": "int8", "subset_size": samples}],
        "preprocessing": json.loads(preprocessing),
        "calibration": {"count": samples, "source": "dataset"},
        "constraint": {"metric": metric, "max_drop": max_drop},
        "search": {},
        "benchmark": None,
    }
    files = [str(path.resolve()) for path in (model, calibration, evaluation)]
    if peer:
        accuracy_control(files, recipe, peer)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {"fractune": searched(files, recipe, folder)}
        if metric == "accuracy":
            made = folder / "nncf.xml"
            own = [sys.executable, __file__, *files, "--peer", str(made), "--preprocessing", preprocessing]
            _, cpu_s = timed([*own, "--max-drop", str(max_drop), "--samples", str(samples)])
            figures["accuracy_control"] = {"cpu_s": cpu_s, **judged(files, recipe, made)}
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {model.name: figures}, indent=1) + "\n")
    typer.echo(json.dumps(figures, indent=1))


def searched(files: list[str], recipe: Figures, folder: Path) -> Figures:
    """What `fractune optimize` comes to."""
    (folder / "recipe.json").write_text(json.dumps(recipe))
    data = ["--data", files[1]] + (["--eval", files[2]] if files[2] != files[1] else [])
    options = ["--recipe", str(folder / "recipe.json"), *data, "--threads", "1", "--quiet"]
    command = [sys.executable, "-m", "service", "optimize", files[0], *options, "--out", str(folder / "out")]
    _, cpu_s = timed(command)
    report = json.loads((folder / "out" / "report.json").read_text())
    exploration, verdict = report["exploration"], report["constraint"]
    chosen = next(row for row in exploration["candidates"] if row["chosen"])
    found = judged(files, recipe, folder / "out" / "1" / "model.xml") if recipe["constraint"]["metric"] == "accuracy" else {}
    return {
        "cpu_s": cpu_s,
        **{name: verdict[name] for name in ("met", "achieved", "bound", "n")},
        "in_floating_point": chosen["setting"],
        "candidates": len(exploration["candidates"]),
        "warnings": report["warnings"],
        **found,
    }


def accuracy_control(files: list[str], recipe: Figures, out: Path) -> None:
    """Write what `nncf.quantize_with_accuracy_control` comes to, with its own defaults, on one processor."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pictures = judging(files, recipe)
    original = load(Path(files[0])).model
    parsed = Recipe.model_validate(recipe)
    task = JobTask(Kind.COMPRESS, files[0], "", recipe=recipe, data=files[1], threads=1)
    calibrating = calibration_samples(task, load(Path(files[0])), parsed, lambda *told, **more: None)

    def validate(compiled: ov.CompiledModel, numbers: Any) -> float:
        right = [answer(compiled.create_infer_request(), pictures, number) for number in numbers]
        return float(np.mean(right))

    made = nncf.quantize_with_accuracy_control(
        original,
        nncf.Dataset(range(calibrating.count), lambda number: calibrating.batch(number, number + 1)),
        nncf.Dataset(range(pictures.count)),
        validate,
        max_drop=parsed.constraint.max_drop if parsed.constraint else 0.01,
        subset_size=calibrating.count,
    )
    ov.save_model(made, out, compress_to_fp16=False)


def judged(files: list[str], recipe: Figures, made: Path) -> Figures:
    """Accuracy of a model and of the original, and its speed beside the original's."""
    pictures = judging(files, recipe)
    original, compressed = load(Path(files[0])).model, ov.Core().read_model(made)
    speed = compare_speed(original, compressed, pictures.batch(0, 1), BenchmarkSettings(pc=False), np.random.default_rng(0))
    shares = {"original": accuracy(original, pictures), "accuracy": accuracy(compressed, pictures)}
    return {**shares, "ratio": speed.ratio.model_dump(mode="json")}


def judging(files: list[str], recipe: Figures) -> Samples:
    """All labelled samples, as the model takes them."""
    task = JobTask(Kind.COMPRESS, files[0], "", recipe=recipe, data=files[2], threads=1)
    whole = recipe | {"calibration": {"count": 100_000, "source": "dataset"}}
    return calibration_samples(task, load(Path(files[0])), Recipe.model_validate(whole), lambda *told, **more: None)


def accuracy(model: ov.Model, pictures: Samples) -> float:
    """Top-1, in f32, one sample at a time."""
    request = ov.Core().compile_model(model, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": 1}).create_infer_request()
    return float(np.mean([answer(request, pictures, number) for number in range(pictures.count)]))


def answer(request: ov.InferRequest, pictures: Samples, number: int) -> bool:
    """Whether the label is the most likely class."""
    assert pictures.labels is not None
    found = request.infer(dict(pictures.batch(number, number + 1)))[0]
    return int(np.argmax(found)) == int(pictures.labels[number])


def timed(command: list[str]) -> tuple[str, float]:
    """What a command says, and the CPU-seconds of it and of all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3, 4):
        raise RuntimeError(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    typer.run(main)
