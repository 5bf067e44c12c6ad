"""What a model answers to some samples: classes, objects, areas or lines, and plain figures of its outputs beside them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers import machine
from workers.calibration import Choice, Samples, from_dataset, from_fractals
from workers.calibration.image_decoding import SUFFIXES, picture_size, place_picture
from workers.evaluation.decoders import Detections
from workers.evaluation.decoders.detections import sigmoid
from workers.evaluation.model_comparison import find_task
from workers.evaluation.model_outputs import inference_request, sample_outputs
from workers.evaluation.tasks import Task, TaskRequest
from workers.evaluation.tasks.classification import Classification
from workers.evaluation.tasks.decoded import Decoded
from workers.evaluation.tasks.detection import CERTAIN, Detection
from workers.evaluation.tasks.multilabel import Multilabel
from workers.evaluation.tasks.segmentation import Segmentation
from workers.evaluation.tasks.text_lines import TextLines
from workers.ir.reading.importer import Imported
from workers.ir.reading.runnable import load_as_it_is
from workers.jobs.job import JobTask, Stage
from workers.recipe import Recipe
from workers.recipe.recipe import parse_recipe
from workers.run.clock import Clock
from workers.run.reporting.assumptions import assumed
from workers.run.reporting.pixel_check import wants_raw_pixels
from workers.statistics.decisions import probabilities

TOP = 5  # classes that are told
MOST = 1000  # samples that are answered
PIXEL = 0.1  # to which boxes are rounded

Values = Sequence[NDArray[Any]]  # the outputs of a model for one sample, (1, ...) each


def predict(task: JobTask, clock: Clock) -> None:
    """Run the model on the first samples at `task.data` and write out/predictions.json. Raises a Refusal."""
    recipe, threads = parse_recipe(task.recipe), task.threads or machine.threads()
    with clock.run(Stage.IMPORT):
        model = load_as_it_is(Path(task.model), recipe.shapes, recipe.batch)
        meaning = _meaning(model, recipe, task, threads)
        kind = recipe.task or meaning.name
        samples = from_dataset(Path(task.data or ""), model, recipe.preprocessing, Choice(MOST, task=kind))
    with clock.run(Stage.VERIFY, samples.count):
        outputs = sample_outputs(inference_request(model.model, samples, 1, threads), samples)
    answers = [
        {
            "sample": samples.title(int(number)),
            **answer(meaning, values, _Frame(samples, int(number), Path(task.data or ""), recipe)),
            "outputs": [_figures(name, value) for name, value in zip(model.outputs, values, strict=False)],
        }
        for number, values in zip(samples.numbers, outputs, strict=True)
    ]
    assumption = assumed(recipe, model, samples, meaning.name, wants_raw_pixels(model, recipe.preprocessing))
    told = {
        "task": meaning.name,
        "assumed": assumption,
        "preprocessing": samples.applied,
    }
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "predictions.json").write_text(json.dumps({**told, "predictions": answers}))


def _meaning(model: Imported, recipe: Recipe, task: JobTask, threads: int) -> Task:
    """What the outputs mean, by their look on a sample that means nothing."""
    drawn = from_fractals(model, 1, recipe.seed, recipe.preprocessing)
    head = None if task.decoder else recipe.decoder
    asked = TaskRequest(recipe.task, head, Path(task.decoder) if task.decoder else None, threads=threads)
    return find_task(model.model, drawn, threads, asked)


class _Frame:
    """Where a picture lies in the model's input."""

    def __init__(self, samples: Samples, number: int, folder: Path, recipe: Recipe) -> None:
        self._file = folder / samples.title(number)
        self._applied = next((values for values in samples.applied.values() if "height" in values), None)
        self._declared = recipe.preprocessing

    def boxes(self, corners: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (k, 4) in pixels of the picture, where it is one on disk; in those of the input else."""
        if self._applied is None or self._file.suffix.lower() not in SUFFIXES or not self._file.is_file():
            return corners
        declared = self._declared.model_copy(update={"fit": self._applied.get("fit")})
        with self._file.open("rb") as file:
            size = picture_size(file, self._file.name)
        placement = place_picture(size, self._file.name, self._applied["height"], self._applied["width"], declared)
        moved = (corners + np.array([placement.left, placement.top] * 2)) / np.array(placement.scale * 2)
        return np.asarray(np.clip(moved, 0, [*size, *size]), np.float32)


def answer(task: Task, values: Values, frame: _Frame) -> dict[str, Any]:
    """What the outputs for one sample say, in JSON values; nothing where the task has no words for it."""
    if isinstance(task, Decoded):
        return answer(task.task, [value[None] for value in task.decoder.decode_sample([v[0] for v in values])], frame)
    if isinstance(task, Classification):
        return {"classes": _best(probabilities(task.reading, values[task.output])[0, 0])}
    if isinstance(task, Multilabel):
        return {"labels": _best(sigmoid(values[task.output].reshape(-1)))}
    if isinstance(task, Detection):
        return {"objects": _objects(task.decoder.decode([value[0] for value in values]), frame)}
    if isinstance(task, Segmentation):
        labels, counts = np.unique(task.class_maps(values)[0], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:TOP]
        return {"areas": [{"class": int(labels[at]), "share": float(counts[at] / counts.sum())} for at in order]}
    return {"line": task.lines(values)[0]} if isinstance(task, TextLines) else {}


def _best(shares: NDArray[Any]) -> list[dict[str, Any]]:
    """The classes of the greatest probabilities (k,)."""
    return [{"class": int(label), "probability": float(shares[label])} for label in np.argsort(-shares, kind="stable")[:TOP]]


def _objects(found: Detections, frame: _Frame) -> list[dict[str, Any]]:
    """The objects that the model is sure enough of, the surest first."""
    sure = found.above(CERTAIN)
    boxes = (np.round(frame.boxes(sure.corners) / PIXEL) * PIXEL).tolist()
    rows = zip(sure.labels.tolist(), sure.scores.tolist(), boxes, strict=True)
    return [{"class": label, "score": score, "box": [round(side, 1) for side in box]} for label, score, box in rows]


def _figures(name: str, value: NDArray[Any]) -> dict[str, Any]:
    """An output (1, ...) in five figures."""
    wide = value.astype(np.float64) if value.size else np.full(1, np.nan)
    figures = {"min": wide.min(), "mean": wide.mean(), "max": wide.max(), "std": wide.std()}
    told = {key: float(figure) if np.isfinite(figure) else None for key, figure in figures.items()}
    return {"name": name, "shape": list(value.shape[1:]), **told}
