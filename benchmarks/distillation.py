"""What `finetune` adds: accuracy of a network compressed in closed form, and after distillation, on the same test images.

    python benchmarks/distillation.py --zoo FOLDER
    python benchmarks/distillation.py --zoo FOLDER --rows "ec2t 45 real,mlq real" --steps 2000

Nothing sees a label but the accuracy. `real` trains on the calibration images, mirrored and shifted, `fractals` on fractals
that never come twice. Rows are merged into `benchmarks/results/distillation.json`; the table of all is printed.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from workers.jobs.job import JobTask
from workers.machine import fingerprint
from workers.run import pipeline
from workers.run.clock import Clock

RESULTS = Path(__file__).parent / "results" / "distillation.json"
PREPROCESSING = {"mean_values": [123.675, 116.28, 103.53], "scale_values": [58.395, 57.12, 57.375]}
REAL, FRACTALS = 5085, 1024
TEST = "cifar10_test1017.npz"
DATA = "cifar10_train5085.npz"

Steps = list[dict[str, Any]]
ROWS: dict[str, tuple[Steps, str, float | None]] = {  # steps before finetune, data, accuracy aimed at
    "prune 65 fractals": ([{"method": "layerwise_pruning", "sparsity_level": 0.65}], "fractals", 90.5),
    "prune 80 real": ([{"method": "layerwise_pruning", "sparsity_level": 0.8}], "real", 90.0),
    "prune 80 fractals": ([{"method": "layerwise_pruning", "sparsity_level": 0.8}], "fractals", 87.0),
    "ec2t 45 real": ([{"method": "ec2t", "gamma": 0.02}], "real", 90.0),
    "ec2t 60 real": ([{"method": "ec2t", "gamma": 0.05}], "real", 89.5),
    "ec2t fractals": ([{"method": "ec2t", "gamma": 0.02}], "fractals", 80.0),
    "ec2t wide real": ([{"method": "super_network", "width": 1.4}, {"method": "ec2t", "gamma": 0.07}], "real", None),
    "mlq real": ([{"method": "mlq"}], "real", 89.5),
    "inq 3 real": ([{"method": "inq", "bits": 3}], "real", 90.5),
    "inq 2 real": ([{"method": "inq", "bits": 2}], "real", 88.0),
    "slq 3 real": ([{"method": "slq", "bits": 3}], "real", None),
}
console = Console(stderr=True)


def main(
    zoo: Annotated[Path, typer.Option(help="Folder with resnet20_cifar10.onnx and the CIFAR-10 images.")],
    rows: Annotated[str, typer.Option(help="Of the table, separated by commas; all when empty.")] = "",
    model: Annotated[str, typer.Option(help="Model of the zoo.")] = "resnet20_cifar10",
    steps: Annotated[int, typer.Option(help="Of the optimiser.")] = 2000,
    knobs: Annotated[str, typer.Option(help="Further knobs of finetune, JSON.")] = "{}",
    threads: Annotated[int, typer.Option(help="Of OpenVINO and torch.")] = 1,
    out: Annotated[Path, typer.Option(help="Results, merged.")] = RESULTS,
) -> None:
    """Measure rows of the table."""
    for row in rows.split(",") if rows else ROWS:
        prior, data, target = ROWS[row]
        finetune = {"method": "finetune", "steps": steps, **json.loads(knobs)}
        figures = measure(zoo, model, [*prior, finetune], data, threads)
        closed = measure(zoo, model, prior, data, threads)["accuracy"]
        figures |= {"target": target, "without": closed, "finetune": finetune, "machine": fingerprint().model_dump(mode="json")}
        known = json.loads(out.read_text()) if out.is_file() else {}
        known.setdefault(model, {})[row] = figures
        out.write_text(json.dumps(known, indent=1) + "\n")
        console.print(row, {key: value for key, value in figures.items() if key not in ("machine", "curve", "finetune")})
    typer.echo(table(json.loads(out.read_text())))


def measure(zoo: Path, model: str, steps: Steps, data: str, threads: int) -> dict[str, Any]:
    """Figures of one recipe: accuracies in percent, zeros as a share, CPU seconds of the compression."""
    recipe = {
        "steps": steps,
        "calibration": {"count": REAL if data == "real" else FRACTALS},
        "preprocessing": PREPROCESSING,
        "benchmark": None,
    }
    with tempfile.TemporaryDirectory() as folder, Progress(console=console, disable=not console.is_terminal) as bar:
        following = bar.add_task("compressing")

        def tell(event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                text = f"{event['stage']} {event['message']}"
                bar.update(following, completed=event["done"], total=max(event["total"], 1), description=text)

        task = JobTask(
            kind="optimize",
            model=str(zoo / f"{model}.onnx"),
            out=folder,
            recipe=recipe,
            data=str(zoo / DATA) if data == "real" else None,
            evaluation=str(zoo / TEST),
            threads=threads,
        )
        pipeline.compress(task, Clock(tell))
        report = json.loads((Path(folder) / "report.json").read_text())
    return _figures(report)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    fidelity = report["fidelity"]
    found = {
        "accuracy": 100 * fidelity["accuracy_compressed"]["value"],
        "original": 100 * fidelity["accuracy_original"]["value"],
        "zeros": report["sparsity"],
        "nonzeros": round(sum(layer["weights"] * (1 - layer["sparsity"]) for layer in report["layers"])),
        "compressed_bytes": report["size"]["compressed_bytes"],
        "cpu_s": sum(stage["cpu_s"] for name, stage in report["time"].items() if name == "compress"),
    }
    training = report.get("training")
    return found | ({"kept": training["kept"], "curve": training["curve"]} if training else {})


def table(results: dict[str, Any]) -> str:
    """All results as Markdown."""
    lines = ["| model | row | zeros % | closed form | with finetune | target | CPU-s |", "|---|---|---|---|---|---|---|"]
    for model, rows in results.items():
        for row, found in rows.items():
            target = "" if found["target"] is None else f"{found['target']:.1f}"
            lines.append(
                f"| {model} | {row} | {100 * found['zeros']:.0f} | {found['without']:.2f} | {found['accuracy']:.2f} | {target} "
                f"| {found['cpu_s']:.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
