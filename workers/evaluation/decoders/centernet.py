"""CenterNet: peaks of a heat map, with a size and an offset at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from workers.evaluation.decoders.detections import MOST, Array, Detections, Frame, Output, from_centres, ordered, sigmoid


@dataclass(frozen=True, slots=True)
class CenterNet:
    """Heat map (k, h, w), size (2, h, w) and offset (2, h, w), in cells."""

    frame: Frame
    heat: int  # positions of the outputs
    size: int
    offset: int | None
    name: ClassVar[str] = "centernet"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """Two or three maps of one size, a quarter of the picture's side."""
        if len(outputs) not in (2, 3) or any(len(output.shape) != 3 for output in outputs):
            return None
        called = [
            index for index, output in enumerate(outputs) if {"hm", "heat", "heatmap"} & set(output.name.lower().split("_"))
        ]
        heat = called or [index for index, output in enumerate(outputs) if output.shape[0] != 2]
        pairs = [index for index, output in enumerate(outputs) if index not in heat and output.shape[0] == 2]
        sides = {output.shape[1:] for output in outputs}
        if len(heat) != 1 or len(pairs) != len(outputs) - 1 or sides != {(frame.height // 4, frame.width // 4)}:
            return None
        named = {index: outputs[index].name.lower() for index in pairs}
        size = next((index for index, name in named.items() if "wh" in name or "size" in name), pairs[0])
        return cls(frame, heat[0], size, next((index for index in pairs if index != size), None))

    def decode(self, values: Sequence[Array]) -> Detections:
        """The surest peaks: cells that no neighbour exceeds."""
        heat = sigmoid(values[self.heat])
        classes, height, width = heat.shape
        around = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
        highest = np.max([around[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
        peaks = np.where(heat == highest, heat, 0).reshape(-1)
        best = np.argsort(-peaks, kind="stable")[:MOST]
        label, row, column = np.unravel_index(best, (classes, height, width))
        offset = values[self.offset][:, row, column] if self.offset is not None else 0.5
        centres = np.stack([column, row]) + offset
        boxes = np.concatenate([centres, values[self.size][:, row, column]]).T
        return ordered(from_centres(boxes) * (self.frame.width / width), peaks[best], label)
