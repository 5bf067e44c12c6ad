"""What a decoder makes of raw outputs, and the suppression of boxes that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.statistics.decisions import Activation

Array = NDArray[Any]

LEAST_SCORE = 0.05  # candidates below are dropped: COCO's mAP hardly sees them
OVERLAP = 0.6  # IoU above which the weaker of two boxes of a class goes
CANDIDATES = 1000
MOST = 100  # per picture, as COCO counts
SMALLEST = 1e-9
TOGETHER = 128  # boxes that are held to each other at once


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the model, for one sample."""

    name: str
    shape: tuple[int, ...]
    activation: Activation = None
    integers: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture that the model sees."""

    height: int
    width: int
    channels: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects found in one picture, the surest first."""

    corners: NDArray[np.float32]  # (k, 4) left, top, right, bottom in pixels of the model's input
    scores: NDArray[np.float32]  # (k,)
    labels: NDArray[np.int64]  # (k,)

    def above(self, score: float) -> "Detections":
        """Those with at least this score."""
        kept = self.scores >= score
        return Detections(self.corners[kept], self.scores[kept], self.labels[kept])


class Decoder(Protocol):
    """Raw outputs of a head, turned into objects."""

    @property
    def name(self) -> str:
        """Of the head, as recipes spell it."""

    def decode(self, values: Sequence[Array]) -> Detections:
        """The objects of one sample, from all outputs of the model in their order, without the axis of samples."""


def select(corners: Array, scores: Array, overlap: float = OVERLAP) -> Detections:
    """Boxes (a, 4) with a score for every class (a, k), thinned out by non-maximum suppression class by class."""
    box, label = np.nonzero(scores > LEAST_SCORE)
    score = scores[box, label]
    order = np.argsort(-score, kind="stable")[:CANDIDATES]
    found = ordered(corners[box[order]], score[order], label[order])
    kept = suppress(found, overlap)
    return Detections(found.corners[kept], found.scores[kept], found.labels[kept])


def ordered(corners: Array, scores: Array, labels: Array) -> Detections:
    """Detections in the order of their scores, as many as count."""
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    order = order[np.asarray(scores)[order] > LEAST_SCORE]
    made = np.asarray(corners, np.float32).reshape(-1, 4)[order]
    return Detections(made, np.asarray(scores, np.float32)[order], np.asarray(labels, np.int64)[order])


def suppress(found: Detections, overlap: float, most: int = MOST) -> NDArray[np.int64]:
    """Positions of the boxes that no surer one of the same class covers by more than `overlap`, the first `most` of them."""
    span = float(np.abs(found.corners).max(initial=0)) * 2 + 1
    apart = found.corners + (found.labels * span)[:, None]  # classes side by side, so that they do not meet
    kept: list[int] = []
    for start in range(0, len(apart), TOGETHER):
        boxes = apart[start : start + TOGETHER]
        alive: Array = np.all(overlaps(apart[np.array(kept, np.int64)], boxes) <= overlap, axis=0)
        distinct: Array = np.less_equal(overlaps(boxes, boxes), overlap)
        for index in range(len(boxes)):
            if alive[index]:
                kept.append(start + index)
                alive &= distinct[index]
                if len(kept) == most:
                    return np.array(kept, np.int64)
    return np.array(kept, np.int64)


def overlaps(first: Array, second: Array) -> Array:
    """IoU of every box of (a, 4) with every box of (b, 4): (a, b)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = _area(high - low)
    union = _area(first[:, 2:] - first[:, :2])[:, None] + _area(second[:, 2:] - second[:, :2])[None] - common
    shares: Array = common / np.maximum(union, SMALLEST)
    return shares


def _area(sides: Array) -> Array:
    """Of boxes with these sides (..., 2); none where a side is negative."""
    area: Array = np.maximum(sides[..., 0], 0) * np.maximum(sides[..., 1], 0)
    return area


def from_centres(boxes: Array) -> Array:
    """Centre x, centre y, width, height (a, 4) -> corners (a, 4)."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def sigmoid(values: Array) -> Array:
    """The logistic function of logits; values within 0..1 are taken to be probabilities already."""
    if values.size and values.min() >= 0 and values.max() <= 1:
        return values
    logistic: Array = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return logistic
