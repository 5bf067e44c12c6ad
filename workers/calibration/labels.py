"""Class indices that come with samples."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.errors import LabelMismatch

Labels = NDArray[np.int64]
T = TypeVar("T")


def classes_of(model: ov.Model) -> int | None:
    """How many classes the model's output tells apart; None if it is not one vector of scores."""
    shape = model.outputs[0].get_partial_shape()
    if shape.is_dynamic:
        return None
    wide = [length for length in list(model.outputs[0].shape)[1:] if length > 1]
    return wide[0] if len(wide) == 1 and len(model.outputs[0].shape) in (2, 4) else None


def check_labels(labels: NDArray[Any], count: int, classes: int | None) -> Labels:
    """The labels as int64 (count,). Raises LabelMismatch for another number of them, or for what is no class index."""
    if labels.ndim != 1 or len(labels) != count:
        raise LabelMismatch(f"There are {count} samples, and labels of shape {labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise LabelMismatch(f"The labels are {labels.dtype}, not integers.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise LabelMismatch(f"The labels hold the negative value {low}.")
    if high > np.iinfo(np.int64).max or (classes is not None and high >= classes):
        raise LabelMismatch(f"The labels reach {high}, and the model tells {classes} classes apart.")
    return np.asarray(labels, np.int64)


def assign(names: Iterable[str], labels: Mapping[str, T]) -> dict[str, T]:
    """The label by the name of an image, in the order of `labels`; folders in the names may differ if files do not.

    Raises LabelMismatch naming an image without a label, or a label without its image.
    """
    exact = {name: name for name in names}
    short: dict[str, list[str]] = {}
    for name in exact:
        short.setdefault(PurePosixPath(name).name, []).append(name)
    found: dict[str, T] = {}
    for label, index in labels.items():
        plain = label if label in exact else label.replace("\\", "/")  # as Windows writes paths
        candidates = [exact[plain]] if plain in exact else short.get(PurePosixPath(plain).name, [])
        if len(candidates) != 1:
            raise LabelMismatch(f"labels.csv names {label!r}, and there {'are several' if candidates else 'is no'} such image.")
        found[candidates[0]] = index
    missing = exact.keys() - found.keys()
    if missing:
        raise LabelMismatch(f"labels.csv has no class for {min(missing)!r} ({len(missing)} images in all).")
    return found
