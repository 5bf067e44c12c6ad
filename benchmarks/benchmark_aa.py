"""Does the benchmark cry wolf? Times a model against itself, again and again: the interval must hold 1 in 95 % of the repeats.

python benchmarks/benchmark_aa.py model.onnx --repeats 100 --out benchmarks/results/aa_model.json
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import openvino as ov
import typer
from rich.progress import track

from workers.evaluation.benchmark import compare_speed
from workers.machine import fingerprint
from workers.recipe import BenchmarkSettings
from workers.report import Benchmark, Ratio
from workers.statistics.intervals import proportion


def coverage(ratios: Sequence[Ratio]) -> dict[str, float | None]:
    """How often the interval held 1, how sure that is, and how wide the intervals were."""
    held = proportion(np.array([not ratio.significant for ratio in ratios], float))
    widths = [ratio.high - ratio.low for ratio in ratios if ratio.low is not None and ratio.high is not None]
    return {
        "covered": held.value,
        "low": held.low,
        "high": held.high,
        "median_width": float(np.median(widths)),
        "largest_deviation": float(max(abs(ratio.value - 1) for ratio in ratios)),
    }


def main(
    model_path: Annotated[Path, typer.Argument(help="A model that OpenVINO reads; open axes are set to 1.")],
    repeats: int = 100,
    hint: str = "latency",
    niter: int = 100,
    nthreads: int = 1,
    seed: int = 0,
    allowance: Annotated[float | None, typer.Option(help="CPU-seconds that each may take, as in a job.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Repeat the benchmark with two copies of one model."""
    model = ov.Core().read_model(model_path)
    shapes = {port.any_name: [1 if axis.is_dynamic else len(axis) for axis in port.partial_shape] for port in model.inputs}
    rng = np.random.default_rng(seed)
    inputs = {
        port.any_name: rng.random(shapes[port.any_name]).astype(port.get_element_type().to_dtype()) for port in model.inputs
    }
    settings = BenchmarkSettings.model_validate({"hint": hint, "niter": niter, "nthreads": nthreads, "pc": False})
    runs = [
        compare_speed(model, model, inputs, settings, rng, allowance=allowance) for _ in track(range(repeats), "A against A")
    ]
    figures = summary(model_path, settings, runs) | {"allowance_cpu_s": allowance}
    text = json.dumps(figures, indent=2)
    typer.echo(text)
    if out:
        out.write_text(text + "\n")


def summary(model_path: Path, settings: BenchmarkSettings, runs: Sequence[Benchmark]) -> dict[str, object]:
    """The figures of all repeats."""
    return {
        "model": model_path.name,
        "settings": settings.model_dump(),
        "repeats": len(runs),
        "sessions_median": float(np.median([run.sessions for run in runs])),
        "latency_median_ms": float(np.median([run.original.latency_median_ms for run in runs])),
        "wall": coverage([run.ratio for run in runs]),
        "cpu": coverage([run.cpu_ratio for run in runs]),
        "machine": fingerprint().model_dump(),
    }


if __name__ == "__main__":
    typer.run(main)
