"""YuNet: for every stride class, object, box and landmarks of a face."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from workers.evaluation.decoders.detections import Array, Detections, Frame, Output, from_centres, select
from workers.evaluation.decoders.grids import columns_and_rows

NAME = re.compile(r"(cls|obj|bbox)_(\d+)")


@dataclass(frozen=True, slots=True)
class YuNet:
    """cls_8 (cells, 1), obj_8 (cells, 1), bbox_8 (cells, 4), and so on for other strides."""

    frame: Frame
    heads: tuple[tuple[int, int, int, int], ...]  # stride, then positions of class, object and box
    name: ClassVar[str] = "yunet"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """By names."""
        named = {match.groups(): i for i, output in enumerate(outputs) if (match := NAME.fullmatch(output.name))}
        strides = sorted({stride for _, stride in named}, key=int)
        if not strides or any((part, stride) not in named for stride in strides for part in ("cls", "obj", "bbox")):
            return None
        return cls(frame, tuple((int(s), named["cls", s], named["obj", s], named["bbox", s]) for s in strides))

    def decode(self, values: Sequence[Array]) -> Detections:
        """Score: the geometric mean of class and object."""
        corners, scores = [], []
        for stride, classes, objects, boxes in self.heads:
            rows = values[boxes].reshape(-1, 4)
            middle = (columns_and_rows(self.frame, stride) + rows[:, :2]) * stride
            corners.append(from_centres(np.concatenate([middle, np.exp(np.minimum(rows[:, 2:], 20)) * stride], axis=1)))
            scores.append(np.sqrt(np.clip(values[classes], 0, 1) * np.clip(values[objects], 0, 1)).reshape(-1, 1))
        return select(np.concatenate(corners), np.concatenate(scores))
