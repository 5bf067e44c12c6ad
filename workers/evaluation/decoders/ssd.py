"""SSD heads: boxes decoded against their priors, with scores of every class; and OpenVINO's DetectionOutput."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from workers.evaluation.decoders.detections import Array, Detections, Frame, Output, ordered, select

ROW = 7  # picture, class, score, four corners


@dataclass(frozen=True, slots=True)
class DetectionOutput:
    """(1, n, 7): picture, class, score, corners in 0..1; ended by a picture of -1. Class 0 is the background's."""

    frame: Frame
    name: ClassVar[str] = "detection_output"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """Rows of seven numbers."""
        shape = outputs[0].shape
        return cls(frame) if len(outputs) == 1 and len(shape) >= 2 and shape[-1] == ROW and shape[0] == 1 else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """The rows up to the end."""
        rows = values[0].reshape(-1, ROW)
        ends = (rows[:, 0] < 0).nonzero()[0]
        rows = rows[: ends[0]] if len(ends) else rows
        size = [self.frame.width, self.frame.height] * 2
        return ordered(rows[:, 3:] * size, rows[:, 2], rows[:, 1] - 1)


@dataclass(frozen=True, slots=True)
class ScoredBoxes:
    """Scores (a, 1 + k) by softmax, the background first, and boxes (a, 4): corners in 0..1."""

    frame: Frame
    scores: int  # positions of the outputs
    boxes: int
    name: ClassVar[str] = "ssd"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """Two outputs of as many rows, one of them by a softmax."""
        if len(outputs) != 2 or any(len(output.shape) != 2 for output in outputs):
            return None
        boxes = [index for index, output in enumerate(outputs) if output.shape[1] == 4 and output.activation != "softmax"]
        if len(boxes) != 1 or outputs[0].shape[0] != outputs[1].shape[0] or outputs[0].shape[0] < 64:
            return None
        scores = 1 - boxes[0]
        return cls(frame, scores, boxes[0]) if outputs[scores].activation == "softmax" else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """All classes but the background."""
        boxes = values[self.boxes].reshape(-1, 4) * [self.frame.width, self.frame.height, self.frame.width, self.frame.height]
        scores = values[self.scores].reshape(len(boxes), -1)
        return select(boxes, scores[:, 1:])
