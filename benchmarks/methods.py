"""How much of a model survives each method: with real calibration images, with fractals, and by rounding alone.

    python benchmarks/methods.py --zoo FOLDER
    python benchmarks/methods.py --zoo FOLDER --models resnet20_cifar10 --rows inq,slq --columns real

`real` and `fractal` are the engine's answers after 1,024 calibration samples of either kind. `round` is the same codebook
without reconstruction: the method solved in the metric of the identity, biases as they were. Accuracy is top-1 in percent on
labelled test images, agreement the share of images on which the compressed model names the original's class. Figures are
merged into `benchmarks/results/methods.json`, a run of a few rows replaces those alone; the table of all is printed.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import openvino as ov
import typer

from workers.calibration import Choice, Samples, from_dataset, from_fractals
from workers.engine.layer import LayerResult
from workers.evaluation.fidelity import summarise
from workers.evaluation.model_comparison import compare_models
from workers.ir.graph.edit import read_weight, write_weight
from workers.ir.graph.layers import Layer
from workers.ir.reading.importer import load
from workers.ir.storage import entropy_bits
from workers.methods.int8 import Int8
from workers.methods.problem import LayerProblem, LayerSolution, Method
from workers.recipe import Preprocessing, Recipe
from workers.run.compression import batch_size, compress_model, make_context
from workers.run.plan import CompressionPlan, make_plan

RESULTS = Path(__file__).parent / "results" / "methods.json"
COLUMNS = ("real", "fractal", "round")
CALIBRATION = 1024

Steps = list[dict[str, Any]]

CIFAR = ("cifar10_train5085.npz", "cifar10_test1017.npz")
IMAGENET = ("imagenet_sample500_256.zip", "imagenet_sample500_256.zip")
IMAGENET_SCALE = {"mean_values": (123.675, 116.28, 103.53), "scale_values": (58.395, 57.12, 57.375)}
CIFAR_SCALE = {"mean_values": (125.307, 122.961, 113.8575), "scale_values": (51.5865, 50.847, 51.255)}


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of the zoo, the data that calibrates it and the data that judges it."""

    data: tuple[str, str]
    preprocessing: dict[str, Any]
    calibration: int = CALIBRATION
    judged_by_agreement: bool = False


SUBJECTS = {
    "resnet20_cifar10": Subject(CIFAR, IMAGENET_SCALE),
    "resnet32_cifar10": Subject(CIFAR, IMAGENET_SCALE),
    "squeezenet1.1_imagenet": Subject(IMAGENET, {**IMAGENET_SCALE, "crop": 224}, 250, True),  # the other half judges
    "vit_tiny_cifar10": Subject(CIFAR, CIFAR_SCALE, judged_by_agreement=True),
    "mlperftiny_resnet8_cifar10": Subject(CIFAR, {"layout": "NHWC"}),
}

ROWS: dict[str, Steps] = {
    "layerwise_pruning 0.65": [{"method": "layerwise_pruning", "sparsity_level": 0.65}],
    "layerwise_pruning 0.75 optimal": [{"method": "layerwise_pruning", "sparsity_level": 0.75, "allocation": "optimal"}],
    "layerwise_pruning 2:4": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "pattern": "2:4"}],
    "layerwise_pruning 4:8": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "pattern": "4:8"}],
    "channels, 30 % of operations": [
        {"method": "layerwise_pruning", "sparsity_level": 0.3, "pattern": "channel", "budget": "operations"}
    ],
    "channels, 30 % of operations, int8": [
        {"method": "layerwise_pruning", "sparsity_level": 0.3, "pattern": "channel", "budget": "operations"},
        {"method": "int8"},
    ],
    "uniform, 4 bit": [{"method": "uniform", "bits": 4}],
    "uniform, 2 bit": [{"method": "uniform", "bits": 2}],
    "inq, 5 bit": [{"method": "inq", "bits": 5}],
    "inq, 4 bit": [{"method": "inq", "bits": 4}],
    "inq, 3 bit": [{"method": "inq", "bits": 3}],
    "inq, 2 bit": [{"method": "inq", "bits": 2}],
    "slq, 4 bit": [{"method": "slq", "bits": 4}],
    "slq, 3 bit": [{"method": "slq", "bits": 3}],
    "mlq": [{"method": "mlq"}],
    "ec2t": [{"method": "ec2t"}],
    "mcq, K = 1": [{"method": "mcq", "samples_per_weight": 1}],
    "mcq, K = 2": [{"method": "mcq", "samples_per_weight": 2}],
    "mcq, K = 4": [{"method": "mcq", "samples_per_weight": 4}],
    "mcq calibrated, K = 1": [{"method": "mcq", "samples_per_weight": 1, "rounding": "calibrated"}],
    **{
        f"layerwise_pruning {level}, {allocation}": [
            {"method": "layerwise_pruning", "sparsity_level": level, "allocation": allocation}
        ]
        for level in (0.65, 0.75)
        for allocation in ("uniform", "normalized", "optimal")
    },
    "layerwise_pruning 0.65, inq 4 bit": [
        {"method": "layerwise_pruning", "sparsity_level": 0.65},
        {"method": "inq", "bits": 4},
    ],
    "int8": [{"method": "int8"}],
    "layerwise_pruning 0.65, int8": [{"method": "layerwise_pruning", "sparsity_level": 0.65}, {"method": "int8"}],
    **{
        f"mcq_activations, K_a = {rate}": [{"method": "mcq_activations", "samples_per_activation": rate}]
        for rate in (0.5, 1, 2, 4, 8, 16)
    },
}
SEEDS = {name: 5 for name in ROWS if name.startswith("mcq, ")}  # chance decides: a mean


@dataclass(frozen=True, slots=True)
class Figure:
    """What one run came to; shares in percent."""

    accuracy: float | None
    agreement: float
    zeros: float  # with removed weights
    bits: float  # an original weight, as the method's paper counts them; by entropy where it does not
    seconds: float  # of compression, all of it


def main(
    zoo: Annotated[Path, typer.Option(help="The folder with the models and the data.")],
    models: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(list(SUBJECTS)[:4]),
    rows: Annotated[str, typer.Option(help="Rows that begin with one of these, separated by `;`; all when empty.")] = "",
    columns: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(COLUMNS),
    threads: int = 1,
    out: Annotated[Path, typer.Option(help="Where figures are merged.")] = RESULTS,
) -> None:
    """Run the chosen rows on the chosen models."""
    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for name in models.split(","):
        for row in (row for row in ROWS if row.startswith(tuple(rows.split(";")))):
            for column in columns_of(row, columns.split(",")):
                figures = [measure(zoo, name, ROWS[row], column, seed, threads) for seed in range(SEEDS.get(row, 1))]
                found = average(figures)
                typer.echo(f"{name} {row} {column}: {found}")
                results.setdefault(name, {}).setdefault(row, {})[column] = asdict(found)
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")
    typer.echo(table(results))


def columns_of(row: str, columns: Sequence[str]) -> list[str]:
    """The columns that a row has: only methods can be rounded alone, and activations are sampled without any data."""
    if row.startswith("mcq_activations"):
        return [column for column in columns if column == "fractal"]
    return [column for column in columns if column != "round" or not row.endswith(("int8", "optimal", "operations"))]


def measure(zoo: Path, name: str, steps: Steps, column: str, seed: int, threads: int) -> Figure:
    """Compress a model anew and compare it with the original on the test data."""
    imported = load(zoo / f"{name}.onnx")
    original = imported.model.clone()
    plan = make_plan(imported, Recipe.model_validate({"steps": steps}))
    samples = samples_for(zoo, name, "real" if column == "round" else column)
    start = time.perf_counter()
    if column == "round":
        model, done = plan.imported.model, round_alone(plan.imported.model, plan, seed)
        size = sum(layer.weight.size for layer in done)
    else:
        made = compress_model(plan, make_context(plan, original, samples, seed=seed, threads=threads))
        model = made.model
        size = sum(result.original.size for result in made.results) or 1
        done = [LayerSolution(result.weight, result.scale, statistics_of(result)) for result in made.results]
    seconds = time.perf_counter() - start
    zeros = 1 - sum(int(np.count_nonzero(layer.weight)) for layer in done) / size
    bits = sum(bits_of(layer) * layer.weight.size for layer in done) / size
    test = samples_for(zoo, name, "test")
    shares = compare(original, model, test, batch_size(imported, test), threads)
    return Figure(*shares, 100 * zeros, bits, seconds)


def ignore(*_: object) -> None:
    """Nobody follows."""


def round_alone(model: ov.Model, plan: CompressionPlan, seed: int) -> list[LayerSolution]:
    """The codebooks of the methods without reconstruction: they are posed in the metric of the identity."""
    (sweep,) = plan.parts
    assert isinstance(sweep, Mapping)
    return [_round(model, layer, sweep[layer.name], seed) for layer in plan.layers if layer.name in sweep]


def _round(model: ov.Model, layer: Layer, methods: Sequence[Method], seed: int) -> LayerSolution:
    weight = read_weight(model, layer).astype(np.float64)
    groups, _, columns = weight.shape
    problem = LayerProblem(
        layer.name, weight, np.broadcast_to(np.eye(columns), (groups, columns, columns)), weight, taps=layer.geometry.taps
    )
    for method in methods:
        solution = method.solve(problem, np.random.default_rng(seed))
        problem = replace(problem, original=solution.weight, support=solution.weight != 0)
    write_weight(model, layer, solution.weight)
    return solution


def bits_of(layer: LayerSolution) -> float:
    """Bits a weight as the method counts them; by entropy, with tables and steps, where it does not."""
    step = None if layer.scale is None else layer.scale.astype(np.float32)
    return float(layer.statistics.get("bits", 0.0)) or entropy_bits(layer.weight.astype(np.float32), step=step)


def statistics_of(result: LayerResult) -> Mapping[str, float]:
    """What the method's paper reports about a layer; 8 bits after int8."""
    return {"bits": 8.0} if isinstance(result.steps[-1], Int8) else result.statistics


@cache
def samples_for(zoo: Path, name: str, column: str) -> Samples:
    """Samples that calibrate (`real`, `fractal`) or judge (`test`); they never overlap."""
    subject = SUBJECTS[name]
    imported = load(zoo / f"{name}.onnx")
    declared = Preprocessing.model_validate(subject.preprocessing)
    if column == "fractal":
        return from_fractals(imported, subject.calibration, 0, declared)
    calibrating, judging = (zoo / file for file in subject.data)
    if column == "real":
        return from_dataset(calibrating, imported, declared, Choice(subject.calibration))
    test = from_dataset(judging, imported, declared)
    return test.take(np.arange(subject.calibration, test.count)) if judging == calibrating else test


def compare(original: ov.Model, model: ov.Model, test: Samples, size: int, threads: int) -> tuple[float | None, float]:
    """Accuracy of the compressed model and its agreement with the original, in percent; `size` samples at once."""
    compared = compare_models(original, model, test, batch_size=size, threads=threads)
    fidelity = summarise(compared, np.random.default_rng(0))
    assert fidelity.agreement is not None
    accuracy = fidelity.accuracy_compressed
    return 100 * accuracy.value if accuracy else None, 100 * fidelity.agreement.value


def average(figures: list[Figure]) -> Figure:
    """The mean of every figure over the seeds."""
    columns = zip(*(astuple(figure) for figure in figures), strict=True)
    return Figure(*(None if values[0] is None else round(mean(values), 4) for values in columns))


def table(results: dict[str, Any]) -> str:
    """All recorded figures in markdown: top-1 where there are labels to trust, else agreement with the original."""
    lines = []
    for name, found in results.items():
        kind = "agreement" if SUBJECTS[name].judged_by_agreement else "top-1"
        lines += [
            f"**{name}**, {kind} in percent",
            "",
            "| row | real | fractal | round | zeros | bits |",
            "|---|---|---|---|---|---|",
        ]
        for row in (row for row in ROWS if row in found):
            cells = [_cell(found[row].get(column), kind) for column in COLUMNS]
            some = next(iter(found[row].values()))
            lines.append(f"| {row} | {' | '.join(cells)} | {some['zeros']:.0f} % | {some['bits']:.2f} |")
        lines.append("")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None, kind: str) -> str:
    """Top-1 and, in brackets, agreement; agreement alone where labels are not to be trusted."""
    if figure is None:
        return ""
    return f"{figure['agreement']:.1f}" if kind == "agreement" else f"{figure['accuracy']:.1f} ({figure['agreement']:.1f})"


if __name__ == "__main__":
    typer.run(main)
