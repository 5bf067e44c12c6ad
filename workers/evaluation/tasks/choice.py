"""Which task a model has: as the recipe says, as the labels are, or as the outputs look."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from workers.annotations import TargetKind
from workers.errors import InvalidRecipe
from workers.evaluation.decoders import Frame, Output, find_decoder
from workers.evaluation.tasks.classification import Classification
from workers.evaluation.tasks.detection import Detection
from workers.evaluation.tasks.embedding import Embedding
from workers.evaluation.tasks.image import Image, value_range
from workers.evaluation.tasks.multilabel import Multilabel
from workers.evaluation.tasks.other import Other
from workers.evaluation.tasks.regression import Regression
from workers.evaluation.tasks.segmentation import Segmentation
from workers.evaluation.tasks.task import Array, Task
from workers.evaluation.tasks.text_lines import TextLines
from workers.statistics.decisions import OutputKind, Reading

EMBEDDING_WORDS = frozenset("embedding embeddings feature features hidden pooler pooled sentence".split())
SINGLE = frozenset({OutputKind.CLASSES, OutputKind.PROBABILITY})
MOST_CODES = 256  # classes that a map of integers may name
LINE_HEIGHT = 64  # pixels, at the most
FEWEST_CHARACTERS = 10

BY_LABELS = {
    TargetKind.BOXES: "detection",
    TargetKind.MAP: "segmentation",
    TargetKind.LABELS: "multilabel",
    TargetKind.VALUES: "regression",
    TargetKind.IMAGE: "image",
    TargetKind.TEXT: "text_lines",
}


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What a recipe says about the task."""

    task: str | None = None
    decoder: str | None = None  # name of a head
    decoder_model: Path | None = None  # in place of one
    metric: str | None = None  # FILE:NAME of a function of the user's
    threads: int = 1  # of the decoder


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the outputs, by the original's answer to the first sample."""

    outputs: Sequence[Output]
    readings: Sequence[Reading]
    values: Sequence[Array]  # (1, ...) each
    frame: Frame | None  # None where the model does not take images

    @property
    def headline(self) -> int:
        """Position of the first of the outputs of the most telling kind."""
        order = list(OutputKind)
        return min(range(len(self.readings)), key=lambda index: order.index(self.readings[index].kind))

    def first(self, fits: Callable[[int], bool]) -> int | None:
        """The first output that fits."""
        return next((index for index in range(len(self.outputs)) if fits(index)), None)


def choose_task(seen: Seen, asked: TaskRequest, labelled: TargetKind | None) -> Task:
    """The task; `labelled` is what the samples are labelled with. Raises InvalidRecipe where the outputs do not fit it."""
    name = asked.task or (labelled and BY_LABELS.get(labelled)) or ("detection" if asked.decoder else None)
    if name is None:
        return _guessed(seen)
    made = MAKERS[name](seen, replace(asked, task=name))
    if made is None:
        shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in seen.outputs)
        raise InvalidRecipe(
            f"task: no {name} can be read off the outputs {shapes}.", hint="Set `decoder`, or the task that the model has."
        )
    return made


def _guessed(seen: Seen) -> Task:
    for maker in (_detection, _text_lines, _multilabel, _classification, _segmentation, _image, _embedding, _regression):
        made = maker(seen, TaskRequest())
        if made is not None and _looks_like(made, seen):
            return made
    return Other(seen.headline, seen.readings[seen.headline])


def _looks_like(task: Task, seen: Seen) -> bool:
    """Whether the outputs say so by themselves, and not only allow it."""
    if isinstance(task, Multilabel):
        return seen.outputs[task.output].activation == "sigmoid"
    if isinstance(task, Embedding):
        return bool(EMBEDDING_WORDS & set(re.findall("[a-z]+", seen.outputs[task.output].name.lower())))
    if isinstance(task, Regression):
        return len(seen.outputs) == 1 and int(np.prod(seen.outputs[0].shape)) == 1
    if isinstance(task, TextLines):
        return seen.frame is not None and seen.frame.height <= LINE_HEIGHT < seen.frame.width
    return True


def _classification(seen: Seen, asked: TaskRequest) -> Task | None:
    index = seen.first(lambda index: seen.readings[index].kind in SINGLE)
    return None if index is None else Classification(index, seen.readings[index])


def _multilabel(seen: Seen, asked: TaskRequest) -> Task | None:
    index = seen.first(lambda index: int(np.prod(seen.outputs[index].shape)) == max(seen.outputs[index].shape, default=1) > 1)
    return None if index is None else Multilabel(index)


def _detection(seen: Seen, asked: TaskRequest) -> Task | None:
    decoder = find_decoder(seen.outputs, seen.frame, asked.decoder) if seen.frame else None
    return None if decoder is None else Detection(decoder)


def _segmentation(seen: Seen, asked: TaskRequest) -> Task | None:
    for index, (output, reading) in enumerate(zip(seen.outputs, seen.readings, strict=True)):
        shape = output.shape
        if (
            len(shape) == 3
            and min(shape[1:]) > 1
            and (asked.task or reading.kind in (OutputKind.CLASS_MAP, OutputKind.PROBABILITY_MAP))
        ):
            if output.integers and shape[0] == 1:
                return Segmentation(index, None, MOST_CODES)
            axis = reading.class_axis if reading.kind is OutputKind.CLASS_MAP else 0
            return Segmentation(index, axis, max(shape[axis], 2))
        if len(shape) in (2, 3) and output.integers and seen.frame and shape[-2:] == (seen.frame.height, seen.frame.width):
            return Segmentation(index, None, MOST_CODES)
    return None


def _regression(seen: Seen, asked: TaskRequest) -> Task | None:
    return Regression(seen.headline)


def _embedding(seen: Seen, asked: TaskRequest) -> Task | None:
    index = seen.first(lambda index: len(seen.outputs[index].shape) in (1, 2) and not seen.outputs[index].integers)
    return None if index is None else Embedding(index)


def _image(seen: Seen, asked: TaskRequest) -> Task | None:
    for index, output in enumerate(seen.outputs):
        if seen.frame and len(output.shape) == 3 and not output.integers:
            first = output.shape[0] in (1, 3)
            channels, sides = (output.shape[0], output.shape[1:]) if first else (output.shape[2], output.shape[:2])
            grown = sides[0] * seen.frame.width == sides[1] * seen.frame.height and sides[0] >= seen.frame.height
            if channels == seen.frame.channels and grown:
                return Image(index, first, *value_range(seen.values[index]))
    return None


def _text_lines(seen: Seen, asked: TaskRequest) -> Task | None:
    def fits(index: int) -> bool:
        shape = seen.outputs[index].shape
        return len(shape) == 2 and shape[1] > FEWEST_CHARACTERS and seen.readings[index].kind is not OutputKind.CODES

    index = seen.first(fits)
    return None if index is None else TextLines(index)


def _other(seen: Seen, asked: TaskRequest) -> Task | None:
    return Other(seen.headline, seen.readings[seen.headline])


MAKERS: Mapping[str, Callable[[Seen, TaskRequest], Task | None]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "detection": _detection,
    "segmentation": _segmentation,
    "regression": _regression,
    "embedding": _embedding,
    "image": _image,
    "text_lines": _text_lines,
    "other": _other,
}
