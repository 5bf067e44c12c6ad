"""Fractune beside other tools: the same model, the same samples, the same sparsity or bits, one processor.

    python -m benchmarks.peers --zoo FOLDER --environments FOLDER
    python -m benchmarks.peers --zoo FOLDER --environments FOLDER --models resnet20_cifar10 --rows int8
    python -m benchmarks.peers --zoo FOLDER --environments FOLDER --models efficientnet_lite0_imagenet --rows int8

POT 2023.3 gets an environment of its own, made in the folder of environments when it is missing. Every run is a process, timed
as a whole: processor seconds with imports, peak of resident memory. All results are judged by one OpenVINO in f32 on the same
labelled test images. Rows are merged into `benchmarks/results/peers.json`; the table of all is printed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import openvino as ov
import typer

from workers.calibration import Choice, Samples, from_dataset, from_fractals
from workers.evaluation.fidelity import summarise
from workers.evaluation.model_comparison import compare_models
from workers.ir.reading.importer import Imported, load
from workers.machine import fingerprint
from workers.recipe import Preprocessing

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "peers.json"
POT = ("openvino-dev==2023.3.0", "numpy<1.25", "scipy<1.11", "torch", "onnx")  # the last release of POT, and what it runs with
SCALE = {"mean_values": (123.675, 116.28, 103.53), "scale_values": (58.395, 57.12, 57.375)}
EVEN = {"mean_values": (127.0, 127.0, 127.0), "scale_values": (128.0, 128.0, 128.0)}
HALF = {"mean_values": (127.5, 127.5, 127.5), "scale_values": (127.5, 127.5, 127.5)}
SAMPLES = 300
LEVELS = {"prune 50 %": 0.5, "prune 65 %": 0.65}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one tool came to."""

    accuracy: float
    low: float  # of the 95 % interval
    high: float
    zip_bytes: int
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """What calibrates and judges a model, in the zoo, and its preprocessing."""

    data: str
    test: str
    scale: dict[str, tuple[float, ...]]


CIFAR = Task("cifar10_train5085.npz", "cifar10_test1017.npz", SCALE)
PICTURES = "imagenet_sample500_256.zip", "imagenet_val650_227.zip"
TASKS = {
    "efficientnet_lite0_imagenet": Task(*PICTURES, EVEN),
    "squeezenet1.1_imagenet": Task(*PICTURES, SCALE),
    "mobilenetv2_1.0_imagenet": Task(*PICTURES, HALF),
}  # others are told by CIFAR


@dataclass(frozen=True, slots=True)
class Case:
    """What every tool is given."""

    model: Path
    zoo: Path
    task: Task
    source: str  # real or fractals
    level: float | None  # of sparsity; None: 8 bits
    samples: Path  # .npz with x, as the model takes it
    environments: Path


Tool = Callable[[Case, Path], Sequence[str | Path]]  # the command that writes m.xml or m.onnx, or 1/model.xml, to a folder


def fractune(case: Case, folder: Path) -> Sequence[str | Path]:
    """The command of a user."""
    step = {"method": "int8"} if case.level is None else {"method": "layerwise_pruning", "sparsity_level": case.level}
    recipe = {"steps": [step], "calibration": {"count": SAMPLES}, "preprocessing": case.task.scale, "benchmark": None}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    data = ["--data", case.zoo / case.task.data] if case.source == "real" else []
    program = Path(sys.executable).with_name("fractune")
    return [program, "optimize", case.model, "--recipe", folder / "recipe.json", *data, "--threads", "1", "--out", folder, "-q"]


def pot(case: Case, folder: Path) -> Sequence[str | Path]:
    """Tuned sparsity."""
    interpreter = environment(case.environments / "pot", POT)
    return [interpreter, HERE / "pot.py", *_common(case, folder), "--level", str(case.level)]


def nncf_ptq(case: Case, folder: Path) -> Sequence[str | Path]:
    """NNCF with its defaults."""
    return [sys.executable, HERE / "nncf_ptq.py", *_common(case, folder)]


def ort(case: Case, folder: Path) -> Sequence[str | Path]:
    """ONNX Runtime."""
    return [sys.executable, HERE / "ort.py", *_common(case, folder)]


def _common(case: Case, folder: Path) -> list[str | Path]:
    return ["--model", case.model, "--data", case.samples, "--samples", str(SAMPLES), "--out", folder]


ROWS: dict[str, dict[str, Tool]] = {
    **dict.fromkeys(LEVELS, {"Fractune": fractune, "POT 2023.3, tuned": pot}),
    "int8": {"Fractune": fractune, "NNCF": nncf_ptq, "ONNX Runtime": ort},
}


def main(
    zoo: Annotated[Path, typer.Option(help="Folder with the models and the images of their tasks.")],
    environments: Annotated[Path, typer.Option(help="Folder for the environments of other tools.")],
    models: Annotated[str, typer.Option(help="Of the zoo, separated by commas.")] = "resnet20_cifar10,resnet32_cifar10",
    rows: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(ROWS),
    sources: Annotated[str, typer.Option(help="What calibrates, separated by commas.")] = "real,fractals",
    tools: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "",
    out: Annotated[Path, typer.Option(help="Results, merged.")] = RESULTS,
) -> None:
    """Run the tools one after another."""
    for model, row, source in product(models.split(","), rows.split(","), sources.split(",")):
        imported, task = load(zoo / f"{model}.onnx"), TASKS.get(model, CIFAR)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samples.npz"
            np.savez(path, x=_values(imported, zoo, task, source))
            case = Case(zoo / f"{model}.onnx", zoo, task, source, LEVELS.get(row), path, environments)
            for name, tool in ROWS[row].items():
                if tools and name not in tools.split(","):
                    continue
                figures = measure(tool, case, imported)
                record(out, f"{model}, {row}, {source}", name, figures)
                typer.echo(f"{model}, {row}, {source}, {name}: {figures}", err=True)
    typer.echo(table(json.loads(out.read_text())))


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with these packages."""
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", packages[0]], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *packages[1:]], check=True)  # against its word
    return interpreter.absolute()


def measure(tool: Tool, case: Case, imported: Imported) -> Figures:
    """Run a tool and judge what it made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = subprocess.Popen(
            list(map(str, tool(case, folder))), env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        complaints = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{tool.__name__} failed:\n{complaints.decode()[-2000:]}")
        made = next(path for path in (folder / "1/model.xml", folder / "m.xml", folder / "m.onnx") if path.is_file())
        test = from_dataset(case.zoo / case.task.test, imported, Preprocessing(**case.task.scale))
        compared = compare_models(imported.model, ov.Core().read_model(made), test, batch_size=1, threads=1)
        accuracy = summarise(compared, np.random.default_rng(0)).accuracy_compressed
        assert accuracy is not None
        return Figures(
            *(100 * value for value in (accuracy.value, accuracy.low, accuracy.high)),
            zip_bytes=_zipped(made),
            cpu_s=round(usage.ru_utime + usage.ru_stime, 1),
            peak_bytes=usage.ru_maxrss * 1024,
        )


def _environment() -> dict[str, str]:
    """One thread for everybody."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _values(imported: Imported, zoo: Path, task: Task, source: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What calibrates, as the model takes it (n, ...)."""
    samples: Samples
    if source == "real":
        samples = from_dataset(zoo / task.data, imported, Preprocessing(**task.scale), Choice(SAMPLES))
    else:
        samples = from_fractals(imported, SAMPLES, 0, Preprocessing(**task.scale))
    (values,) = samples.batch(0, SAMPLES).values()
    return values


def _zipped(model: Path) -> int:
    """Bytes of the model's files in a zip archive: what it takes to send it."""
    with tempfile.TemporaryFile() as file:
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for path in (model, model.with_suffix(".bin")):
                if path.is_file():
                    archive.write(path, path.name)
        return file.seek(0, os.SEEK_END)


def record(out: Path, row: str, tool: str, figures: Figures) -> None:
    """Merge a figure into the results."""
    known = json.loads(out.read_text()) if out.is_file() else {"rows": {}}
    known["rows"].setdefault(row, {})[tool] = asdict(figures) | {"date": datetime.now(UTC).date().isoformat()}
    known["machine"] = fingerprint().model_dump(mode="json")
    out.write_text(json.dumps(known, indent=1) + "\n")


def table(results: dict[str, Any]) -> str:
    """All results as Markdown."""
    lines = ["| model | task | calibrated on | tool | accuracy % | zipped kB | CPU-s | peak MB |", "|" + "---|" * 8]
    for row, tools in results["rows"].items():
        cells = " | ".join(row.split(", "))
        for tool, found in tools.items():
            interval = f"{found['accuracy']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"
            rest = f"{found['zip_bytes'] / 1e3:.0f} | {found['cpu_s']:.0f} | {found['peak_bytes'] / 1e6:.0f}"
            lines.append(f"| {cells} | {tool} | {interval} | {rest} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
