"""Plain int8 of many models beside `nncf.quantize` on the same samples: what both keep of the original, and CPU-seconds.

    python benchmarks/int8_zoo.py --zoo FOLDER
    python benchmarks/int8_zoo.py --subjects mine.json --models "my model"
    python benchmarks/int8_zoo.py --draw

A subject is a model file, samples that calibrate it, others that judge it (those of the first file that do not calibrate where
none are given) and its preprocessing, as the JSON of `SUBJECTS` has them; files are relative to the zoo. Fractune and NNCF,
with its defaults, run as commands of their own on one processor, so that their CPU-seconds hold everything; then both models
answer the samples that judge, in f32. Fractune's command judges its model itself, which is a pass of each model: the table sets
its time beside 1.3 times NNCF's and that pass. Figures are merged into `benchmarks/results/int8_zoo.json`; `--draw` writes the
table of `docs/int8.md`.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import nncf
import numpy as np
import openvino as ov
import typer
from int8_search import timed

from workers.calibration.data_splits import DataSplits, split_data
from workers.evaluation.model_comparison import Comparison, compare_models, find_task
from workers.evaluation.model_outputs import inference_request, sample_outputs
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.statistics.intervals import Interval, Paired, bootstrap, paired_difference

RESULTS = Path(__file__).parent / "results" / "int8_zoo.json"
PAGE = Path(__file__).parents[1] / "docs" / "int8.md"
BEGIN, END = "<!-- zoo -->", "<!-- end of zoo -->"
SAMPLES = 300
ALLOWED = 1.3  # times NNCF's time

Figures = dict[str, Any]
Subject = dict[str, Any]


def scaled(mean: float | list[float], scale: float | list[float], **more: Any) -> dict[str, Any]:
    """Preprocessing by a mean and a scale, the same for three channels or one for each."""
    three = (values if isinstance(values, list) else [values] * 3 for values in (mean, scale))
    return dict(zip(("mean_values", "scale_values"), three, strict=True)) | more


IMAGENET = scaled([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
PICTURES = {"calibration": "imagenet_sample500_256.zip", "evaluation": "imagenet_val650_227.zip"}
CIFAR = {"calibration": "cifar10_train5085.npz", "evaluation": "cifar10_test1017.npz"}
COCO = {"calibration": "coco_val64.zip", "samples": 32}
SUBJECTS: dict[str, Subject] = {
    "resnet20": {"model": "resnet20_cifar10.onnx", **CIFAR, "preprocessing": IMAGENET},
    "resnet32": {"model": "resnet32_cifar10.onnx", **CIFAR, "preprocessing": IMAGENET},
    "vit_tiny": {
        "model": "vit_tiny_cifar10.onnx",
        **CIFAR,
        "preprocessing": scaled([125.307, 122.961, 113.8575], [51.5865, 50.847, 51.255]),
    },
    "resnet8": {"model": "mlperftiny_resnet8_cifar10.onnx", **CIFAR, "preprocessing": scaled(0, 1, layout="NHWC")},
    "mnist_cnn": {
        "model": "mnist_cnn.onnx",
        "calibration": "mnist_test10000.npz",
        "preprocessing": {"mean_values": [0], "scale_values": [255]},
    },
    "magika": {"model": "magika_v3_3.onnx", "calibration": "magika_testfiles.npz", "samples": 38},
    "EfficientNet-Lite0": {"model": "efficientnet_lite0_imagenet.onnx", **PICTURES, "preprocessing": scaled(127, 128)},
    "squeezenet1.1": {"model": "squeezenet1.1_imagenet.onnx", **PICTURES, "preprocessing": IMAGENET},
    "mobilenetv2": {"model": "mobilenetv2_1.0_imagenet.onnx", **PICTURES, "preprocessing": scaled(127.5, 127.5)},
    "nanodet_m": {
        "model": "nanodet_m_coco.onnx",
        **COCO,
        "preprocessing": scaled([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], color_order="BGR"),
    },
    "yunet": {"model": "yunet_n_320.onnx", **COCO, "preprocessing": scaled(0, 1, color_order="BGR")},
    "ultraface": {"model": "ultraface_rfb320.onnx", **COCO, "preprocessing": scaled(127, 128)},
    "espnet": {
        "model": "espnet_p2q8_cityscapes.onnx",
        **COCO,
        "samples": 16,
        "preprocessing": scaled([72.39, 82.91, 73.16], [11551.5, 11768.25, 11701.95], color_order="BGR"),
    },
    "PP-OCRv4, lines": {"model": "ch_PP-OCRv4_rec_infer.onnx", "samples": 64, "shapes": {"x": [1, 3, 48, 320]}},
    "silero_vad": {"model": "silero_vad_640.onnx"},
}


def main(
    zoo: Annotated[Path, typer.Option(help="The folder that the files of the subjects are in.")] = Path(),
    subjects: Annotated[Path | None, typer.Option(help="A JSON file of subjects; those of this program when absent.")] = None,
    models: Annotated[str, typer.Option(help="Names of subjects, separated by `;`; all when empty.")] = "",
    draw: Annotated[bool, typer.Option(help="Write the table of all figures into the page, and run nothing.")] = False,
    peer: Annotated[Path | None, typer.Option(hidden=True, help="Be the process in which NNCF writes a model there.")] = None,
) -> None:
    """Measure the chosen models, or draw what was measured."""
    if draw:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text("\n".join([before + BEGIN, *table(recorded()), END]) + rest.split(END)[1])
        return
    found: dict[str, Subject] = json.loads(subjects.read_text()) if subjects else SUBJECTS
    for name in models.split(";") if models else found:
        if peer:
            quantise(zoo, found[name], peer)
            continue
        figures = measure(zoo, name, found[name], ["--subjects", str(subjects)] if subjects else [])
        typer.echo(f"{name}: {json.dumps(figures)}")
        RESULTS.write_text(json.dumps(recorded() | {name: figures}, indent=1) + "\n")


def recorded() -> dict[str, Figures]:
    """All figures so far, by subject."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def measure(zoo: Path, name: str, subject: Subject, knobs: list[str]) -> Figures:
    """Both commands, then both models on the same samples."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "recipe.json").write_text(json.dumps(recipe_of(subject)))
        command = [sys.executable, "-m", "service", "optimize", str(zoo / subject["model"]), "--threads", "1", "--quiet"]
        command += ["--recipe", str(folder / "recipe.json"), "--out", str(folder / "ours")]
        for option, key in (("--data", "calibration"), ("--eval", "evaluation")):
            command += [option, str(zoo / subject[key])] if key in subject else []
        _, ours = timed(command)
        own = [sys.executable, __file__, "--zoo", str(zoo), "--models", name, *knobs]
        _, theirs = timed([*own, "--peer", str(folder / "theirs.xml")])
        made = [ov.Core().read_model(file) for file in (folder / "ours" / "1" / "model.xml", folder / "theirs.xml")]
        return {"cpu_s": {"fractune": ours, "nncf": theirs}, **judged(zoo, subject, made)}


def recipe_of(subject: Subject) -> dict[str, Any]:
    """int8 with its defaults."""
    count = subject.get("samples", SAMPLES)
    calibration = {"count": count, **({} if "calibration" in subject else {"inversion_steps": 0})}
    known: dict[str, Any] = {key: subject[key] for key in ("preprocessing", "shapes") if key in subject}
    return {"steps": [{"method": "int8"}], "calibration": calibration, "benchmark": None, **known}


def samples_of(zoo: Path, subject: Subject) -> DataSplits:
    """The samples that calibrate and judge in Fractune's command."""
    files = [str(zoo / subject[key]) if key in subject else None for key in ("calibration", "evaluation")]
    recipe = recipe_of(subject)
    task = JobTask(Kind.COMPRESS, str(zoo / subject["model"]), "", recipe=recipe, data=files[0], evaluation=files[1], threads=1)
    parsed = Recipe.model_validate(recipe)
    return split_data(task, load(zoo / subject["model"], parsed.shapes), parsed, lambda *told, **more: None)


def quantise(zoo: Path, subject: Subject, out: Path) -> None:
    """What a user of NNCF runs: its defaults, on the same samples."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parsed = Recipe.model_validate(recipe_of(subject))
    calibrating = samples_of(zoo, subject).calibration
    dataset = nncf.Dataset(range(calibrating.count), lambda number: calibrating.batch(number, number + 1))
    made = nncf.quantize(load(zoo / subject["model"], parsed.shapes).model, dataset, subset_size=calibrating.count)
    ov.save_model(made, out, compress_to_fp16=False)


def judged(zoo: Path, subject: Subject, made: list[ov.Model]) -> Figures:
    """What both models keep; how far ours is behind, with its 95 % interval; CPU-seconds of a pass of the original and ours."""
    original = load(zoo / subject["model"], Recipe.model_validate(recipe_of(subject)).shapes).model
    test = samples_of(zoo, subject).test
    began = time.process_time()
    for model in (original, made[0]):
        sample_outputs(inference_request(model, test, 1, 1), test)
    passes = time.process_time() - began
    task = find_task(original, test, 1)
    ours, theirs = (compare_models(original, model, test, batch_size=1, threads=1, task=task) for model in made)
    figures = {name: figures_of(each) for name, each in (("fractune", ours), ("nncf", theirs))}
    return {"n": test.count, "source": test.source, "passes_s": passes, **figures, "behind": behind(ours, theirs)}


def figures_of(comparison: Comparison) -> Figures:
    """Shares of samples, and the relative error of all outputs together."""
    outcomes, rows = comparison.outcomes, [output.rows for output in comparison.outputs]
    error = sum(float(each["error"].sum()) for each in rows) / max(sum(float(each["energy"].sum()) for each in rows), 1e-30)
    right, kept = outcomes.right_after, outcomes.agreement
    known = {
        "accuracy": None if right is None else float(right.mean()),
        "original": None if outcomes.right_before is None else float(outcomes.right_before.mean()),
        "agreement": None if kept is None or np.isnan(kept).any() else float(kept.mean()),
    }
    return {"error": error, **{name: value for name, value in known.items() if value is not None}}


def behind(ours: Comparison, theirs: Comparison) -> list[float | None]:
    """How much less accurate ours is, where there are labels; else by how much its squared error is larger, per energy."""
    before, after = theirs.outcomes.right_after, ours.outcomes.right_after
    if before is not None and after is not None:
        interval = paired_difference(Paired.count(before, after))
    else:
        interval = _error_difference(ours, theirs)
    return [interval.value, interval.low, interval.high]


def _error_difference(ours: Comparison, theirs: Comparison) -> Interval:
    """The paired difference of the relative errors, resampled by sample."""
    first, second = (np.sum([output.rows["error"] for output in each.outputs], axis=0) for each in (ours, theirs))
    energy = np.sum([output.rows["energy"] for output in ours.outputs], axis=0)
    pairs = np.stack([first - second, energy], axis=1)
    return bootstrap(pairs, lambda rows: np.divide(*np.moveaxis(rows.sum(axis=1), -1, 0)), np.random.default_rng(0))


def table(results: dict[str, Figures]) -> Iterator[str]:
    """A line for each model."""
    yield "| model | judged on | original | Fractune | NNCF | behind [95 %] | CPU-s Fractune | NNCF | allowed |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, row in results.items():
        labelled, cpu = "accuracy" in row["fractune"], row["cpu_s"]
        kept = [quality(row[tool]) for tool in ("fractune", "nncf")]
        value, low, high = (0.0 if each is None else each for each in row["behind"])
        gap = f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]" if labelled else f"{value:.2g} [{low:.2g}, {high:.2g}]"
        original = f"{100 * row['fractune']['original']:.1f} %" if labelled else ""
        allowed = ALLOWED * cpu["nncf"] + row["passes_s"]
        judges = f"{row['n']} {'samples' if row['source'] == 'dataset' else 'made up'}"
        cells = [name, judges, original, *kept, gap, *(f"{each:.1f}" for each in (cpu["fractune"], cpu["nncf"], allowed))]
        yield "| " + " | ".join(cells) + " |"


def quality(figures: Figures) -> str:
    """Accuracy and agreement in percent; the error where nothing is decided."""
    shares = [f"{100 * figures[name]:.1f}" for name in ("accuracy", "agreement") if name in figures]
    return " / ".join([*shares, f"{figures['error']:.2g}"])


if __name__ == "__main__":
    typer.run(main)
