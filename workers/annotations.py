"""What samples are labelled with, whatever format it came in."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TargetKind(StrEnum):
    """What one sample is labelled with."""

    CLASS = "class"  # an index
    LABELS = "labels"  # yes or no for every class (k,)
    VALUES = "values"  # real numbers, of any shape
    BOXES = "boxes"  # Boxes
    MAP = "map"  # a class index for every pixel (height, width), IGNORED where none is given
    IMAGE = "image"  # uint8 (height, width, channels)
    TEXT = "text"  # class indices of its characters, (length,)


IGNORED = 255  # in a map


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The objects of one picture."""

    corners: NDArray[np.float32]  # (k, 4) left, top, right, bottom in pixels
    labels: NDArray[np.int64]  # (k,)
    crowd: NDArray[np.bool_]  # (k,) several objects in one box: neither asked for nor counted as a mistake


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the samples of a source are labelled with; read when it is asked for."""

    kind: TargetKind
    read: Callable[[int], Any]  # number of a sample -> its label, in the frame of the model's input
