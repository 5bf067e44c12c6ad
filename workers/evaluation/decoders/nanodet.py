"""NanoDet: distances to the four sides as distributions (generalised focal loss), one head per stride or all in one output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from workers.evaluation.decoders.detections import Array, Detections, Frame, Output, select, sigmoid
from workers.evaluation.decoders.grids import columns_and_rows, stride_of, strides_of

BINS = 8  # of a distribution, in strides


@dataclass(frozen=True, slots=True)
class NanoDet:
    """For every stride (cells, k) scores and (cells, 4 * BINS) distances."""

    frame: Frame
    heads: tuple[tuple[int, int, int], ...]  # stride, position of the scores, position of the distances
    name: ClassVar[str] = "nanodet"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """A pair of outputs for every stride."""
        heads = []
        for index, output in enumerate(outputs):
            if len(output.shape) != 2 or output.shape[1] != 4 * BINS:
                continue
            others = [i for i, other in enumerate(outputs) if i != index and other.shape[:1] == output.shape[:1]]
            stride = stride_of(frame, output.shape[0])
            if stride is None or len(others) != 1:
                return None
            heads.append((stride, others[0], index))
        return cls(frame, tuple(heads)) if heads and 2 * len(heads) == len(outputs) else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """The expected distance to every side, from the middle of a cell."""
        corners = [_corners(self.frame, stride, values[distances]) for stride, _, distances in self.heads]
        scores = [sigmoid(values[scores].reshape(-1, values[scores].shape[-1])) for _, scores, _ in self.heads]
        return select(np.concatenate(corners), np.concatenate(scores))


@dataclass(frozen=True, slots=True)
class NanoDetPlus:
    """(cells, k + 4 * BINS), strides one after another."""

    frame: Frame
    strides: tuple[int, ...]
    name: ClassVar[str] = "nanodet_plus"

    @classmethod
    def match(cls, outputs: Sequence[Output], frame: Frame) -> Self | None:
        """One output, by the strides 8 to 64."""
        shape = outputs[0].shape
        plus = len(outputs) == 1 and len(shape) == 2 and shape[1] > 4 * BINS
        strides = strides_of(frame, shape[0]) if plus else None
        return cls(frame, strides) if strides and len(strides) == 4 else None

    def decode(self, values: Sequence[Array]) -> Detections:
        """Classes first, then distances, from the corner of a cell."""
        rows = values[0].reshape(-1, values[0].shape[-1])
        scores, distances = sigmoid(rows[:, : -4 * BINS]), rows[:, -4 * BINS :]
        counts = np.cumsum([len(columns_and_rows(self.frame, stride)) for stride in self.strides])[:-1]
        parts = zip(self.strides, np.split(distances, counts), strict=True)
        return select(np.concatenate([_corners(self.frame, stride, part, middle=0.0) for stride, part in parts]), scores)


def _corners(frame: Frame, stride: int, distances: Array, middle: float = 0.5) -> Array:
    """Corners (cells, 4) from distributions (cells, 4 * BINS)."""
    bins = distances.reshape(-1, 4, BINS)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    sides = stride * (weights @ np.arange(BINS)) / weights.sum(axis=2)
    centres = (columns_and_rows(frame, stride) + middle) * stride
    return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
