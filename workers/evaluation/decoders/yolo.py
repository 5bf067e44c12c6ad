"""YOLO heads: v5 and v7 (decoded grids), v8 and v11 (channels first), X (raw grids), v10 (no suppression needed)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from workers.evaluation.decoders.detections import Array, Detections, Frame, Output, from_centres, ordered, select, sigmoid
from workers.evaluation.decoders.grids import columns_and_rows, strides_of

SIDES_AND_OBJECT = 5
END_TO_END = 6  # four corners, score, class


def _table(outputs: Sequence[Output]) -> tuple[int, ...] | None:
    """The shape of the first output if it is a table."""
    return outputs[0].shape if len(outputs[0].shape) == 2 else None


@dataclass(frozen=True, slots=True)
class YoloV5:
    """(anchors, 5 + k): centre, size, object, classes; also v7's."""

    name: ClassVar[str] = "yolov5"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """Three boxes for every cell."""
        shape = _table(outputs)
        fits = shape and shape[1] > SIDES_AND_OBJECT and strides_of(frame, shape[0], per_cell=3)
        return cls() if fits else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """Score of a class: object times class."""
        rows = values[0].reshape(-1, values[0].shape[-1])
        return select(from_centres(rows), sigmoid(rows[:, 4:5]) * sigmoid(rows[:, 5:]))


@dataclass(frozen=True, slots=True)
class YoloV8:
    """(4 + k, anchors): centre, size, classes; also v11's."""

    name: ClassVar[str] = "yolov8"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """One box for every cell, channels first."""
        shape = _table(outputs)
        return cls() if shape and 4 < shape[0] < shape[1] and strides_of(frame, shape[1]) else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """Score of a class as it stands."""
        rows = values[0].reshape(values[0].shape[-2:]).T
        return select(from_centres(rows), sigmoid(rows[:, 4:]))


@dataclass(frozen=True, slots=True)
class YoloX:
    """(cells, 5 + k): offset and log of the size in strides, object, classes."""

    frame: Frame
    strides: tuple[int, ...]
    name: ClassVar[str] = "yolox"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """One box for every cell, cells first."""
        shape = _table(outputs)
        strides = strides_of(frame, shape[0]) if shape and SIDES_AND_OBJECT < shape[1] < shape[0] else None
        return cls(frame, strides) if strides else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """Boxes from cells, then as v5."""
        rows = values[0].reshape(-1, values[0].shape[-1])
        origin = np.concatenate([columns_and_rows(self.frame, stride) for stride in self.strides])
        scale = np.concatenate([np.full(len(columns_and_rows(self.frame, s)), s, np.float32) for s in self.strides])[:, None]
        boxes = np.concatenate([(rows[:, :2] + origin) * scale, np.exp(np.minimum(rows[:, 2:4], 20)) * scale], axis=1)
        return select(from_centres(boxes), sigmoid(rows[:, 4:5]) * sigmoid(rows[:, 5:]))


@dataclass(frozen=True, slots=True)
class YoloV10:
    """(n, 6): corners, score, class; already the final ones."""

    name: ClassVar[str] = "yolov10"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """Rows of six numbers."""
        shape = _table(outputs)
        return cls() if shape and len(outputs) == 1 and shape[1] == END_TO_END and 20 <= shape[0] <= 1000 else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """The rows as they stand."""
        rows = values[0].reshape(-1, END_TO_END)
        return ordered(rows[:, :4], rows[:, 4], rows[:, 5])
