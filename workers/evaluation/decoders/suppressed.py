"""Heads with the suppression inside the graph: boxes, scores and classes come out final."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

import numpy as np

from workers.evaluation.decoders.detections import Array, Detections, Frame, Output, ordered

BOXES, SCORES, CLASSES = (
    {"box", "boxes", "bboxes", "bbox", "dets"},
    {"score", "scores"},
    {"label", "labels", "class", "classes"},
)
UNTHINNED = "raw"  # what TensorFlow's detection API returns beside the detections


def _position(outputs: Sequence[Output], words: set[str], rows: int | None = None) -> int | None:
    """The first output whose name holds one of the words, with one number for each of the `rows`."""
    for index, output in enumerate(outputs):
        named = set(re.findall("[a-z]+", output.name.lower()))
        if words & named and UNTHINNED not in named and rows in (None, prod(output.shape)):
            return index
    return None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Boxes (n, 4) with scores (n,) and classes (n,), or boxes (n, 5) whose last number is the score."""

    frame: Frame
    boxes: int
    classes: int
    scores: int | None
    rows_first: bool  # top, left, bottom, right, as TensorFlow's detection API has them
    name: ClassVar[str] = "suppressed"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """By names: boxes, scores, labels or classes."""
        boxes = _position(outputs, BOXES)
        if boxes is None or outputs[boxes].shape[-1:] not in ((4,), (5,)):
            return None
        rows = prod(outputs[boxes].shape[:-1])
        classes, scores = (_position(outputs, words, rows) for words in (CLASSES, SCORES))  # else: for every class
        if classes in (None, boxes) or scores is None and outputs[boxes].shape[-1] != 5:
            return None
        return cls(frame, boxes, classes, scores, outputs[boxes].name.startswith("detection_boxes"))

    def decode(self, values: Sequence[Array]) -> Detections:
        """In pixels, whether the graph gives those or shares of the sides."""
        rows = values[self.boxes].reshape(-1, values[self.boxes].shape[-1])
        scores = rows[:, 4] if self.scores is None else values[self.scores].reshape(-1)
        corners = rows[:, [1, 0, 3, 2]] if self.rows_first else rows[:, :4]
        if corners.size and np.abs(corners).max() <= 2:
            corners = corners * [self.frame.width, self.frame.height, self.frame.width, self.frame.height]
        return ordered(corners, scores, values[self.classes].reshape(-1))
