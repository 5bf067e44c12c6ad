"""What an output decides, and how far two versions of it are apart, sample by sample.

Outputs are read as a probability over K classes at each of P positions of a sample (one for a classifier, one per anchor, pixel
or token else). A sigmoid is a probability over no and yes; an integer is a decision itself; anything else is values only.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Activation = Literal["softmax", "sigmoid"] | None
Numbers = NDArray[Any]

CLASS_WORDS = frozenset(
    "class classes cls conf confidence heatmap label labels logit logits mask masks obj prob probabilities probability probs "
    "score scores seg segmentation".split()
)
VALUE_WORDS = frozenset(
    "bbox bboxes box boxes cn coord coords delta deltas depth diff dis embedding embeddings feature features hidden hn "
    "keypoints kps landmark landmarks loc locs offset offsets points reg regression state states".split()
)
IMAGE_CHANNELS = (1, 3, 4)
SMALLEST = 1e-12  # probability below which a divergence does not grow further

ROW = np.dtype(
    [
        ("agreement", "f8"),  # share of the positions that decide the same; NaN where nothing is decided
        ("foreground", "f8"),  # the same, where either decides otherwise than the original mostly does in this sample
        ("divergence", "f8"),  # Kullback-Leibler divergence in nats, mean over the positions
        ("cosine", "f8"),
        ("error", "f8"),  # squared norm of the difference
        ("energy", "f8"),  # squared norm of the original
        ("before", "i4"),  # the single decision of a sample; -1 where there are several or none
        ("after", "i4"),
        ("confidence_before", "f4"),
        ("confidence_after", "f4"),
    ]
)
UNDEFINED = np.array((*[np.nan] * 6, -1, -1, np.nan, np.nan), ROW)
Rows = NDArray[np.void]  # (n,) of ROW


class OutputKind(StrEnum):
    """What an output is, from the most to the least telling."""

    CLASSES = "classes"  # one class per sample
    PROBABILITY = "probability"  # one yes or no per sample
    CLASS_MAP = "class_map"  # a class per anchor, pixel or token
    PROBABILITY_MAP = "probability_map"  # a yes or no per element
    CODES = "codes"  # integers, the same or not
    VALUES = "values"  # boxes, embeddings, images, states: no decision


@dataclass(frozen=True, slots=True)
class Reading:
    """How an output is read: what it is, whether it is probabilities already, which axis of a sample holds the classes."""

    kind: OutputKind
    normalised: bool = False
    class_axis: int = 0
    classes: int = 0  # that a label may name; 0 unless a sample has one decision


def read(name: str, values: Numbers, activation: Activation) -> Reading:
    """How the output `name` is to be read, judged by some of its `values` (n, ...) and the activation that made them."""
    shape = values.shape[1:]
    if values.dtype == np.bool_ or (np.issubdtype(values.dtype, np.integer) and values.dtype.itemsize > 1):
        return Reading(OutputKind.CODES)
    if activation == "sigmoid":
        single = np.prod(shape) == 1
        return Reading(OutputKind.PROBABILITY, True, classes=2) if single else Reading(OutputKind.PROBABILITY_MAP, True)
    axis = _class_axis(shape)
    normalised = activation == "softmax" or _sums_to_one(values, axis)
    kind = _kind(shape, axis, normalised, frozenset(re.findall("[a-z]+", name.lower())))
    return Reading(kind, normalised, axis, shape[axis] if kind is OutputKind.CLASSES else 0)


def compare_outputs(reading: Reading, before: Numbers, after: Numbers) -> Rows:
    """One row per sample of two versions (n, ...) of an output, both finite."""
    rows = np.full(len(before), UNDEFINED)
    _compare_values(rows, before.reshape(len(before), -1), after.reshape(len(before), -1))
    if reading.kind is OutputKind.CODES:
        rows["agreement"] = np.mean((before == after).reshape(len(before), -1), axis=1)
    elif reading.kind is not OutputKind.VALUES:
        _compare_decisions(rows, probabilities(reading, before), probabilities(reading, after))
    if np.issubdtype(before.dtype, np.integer) and not reading.normalised:
        rows["divergence"] = np.nan  # the scale of quantised logits is not known
    return rows


def probabilities(reading: Reading, values: Numbers) -> Numbers:
    """The output (n, ...) as probabilities (n, P, K)."""
    if np.issubdtype(values.dtype, np.integer):  # quantised: the smallest code is the zero of a probability
        values = (values.astype(np.float32) - np.iinfo(values.dtype).min) / 255
    n = len(values)
    if reading.kind in (OutputKind.PROBABILITY, OutputKind.PROBABILITY_MAP):
        yes = np.clip(values.reshape(n, -1, 1), 0, 1)
        return np.concatenate([1 - yes, yes], axis=2)
    scores: Numbers = np.moveaxis(values, reading.class_axis + 1, -1).reshape(n, -1, values.shape[reading.class_axis + 1])
    if not reading.normalised:
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
    scores = np.maximum(scores, 0)
    scores /= np.maximum(scores.sum(axis=2, keepdims=True), SMALLEST)
    return scores


def _class_axis(shape: tuple[int, ...]) -> int:
    """The axis of a sample that holds the classes: the only one, the last of (A, K), the channels of an image."""
    if sum(length > 1 for length in shape) == 1:
        return int(np.argmax(shape))
    channels_first = len(shape) == 3 and shape[0] <= shape[2]
    return 0 if channels_first or not shape else len(shape) - 1


def _sums_to_one(values: Numbers, axis: int) -> bool:
    if values.ndim < 2 or values.shape[axis + 1] < 2 or np.issubdtype(values.dtype, np.integer):
        return False
    return bool(values.min() >= 0 and np.allclose(values.sum(axis=axis + 1, dtype=np.float64), 1, atol=1e-3))


def _kind(shape: tuple[int, ...], axis: int, normalised: bool, words: frozenset[str]) -> OutputKind:
    classes = shape[axis] if shape else 1
    positions = int(np.prod(shape)) // max(classes, 1)
    if classes < 2 or (words & VALUE_WORDS and not normalised):
        return OutputKind.VALUES
    if positions == 1:
        return OutputKind.CLASSES
    picture_of_classes = len(shape) == 3 and positions > classes and classes not in IMAGE_CHANNELS
    return OutputKind.CLASS_MAP if normalised or words & CLASS_WORDS or picture_of_classes else OutputKind.VALUES


def _compare_values(rows: Rows, before: Numbers, after: Numbers) -> None:
    if np.issubdtype(before.dtype, np.integer) or before.dtype == np.bool_:
        before, after = before.astype(np.float64), after.astype(np.float64)
    difference = before - after
    rows["error"], rows["energy"] = _dot(difference, difference), _dot(before, before)
    norms = np.sqrt(rows["energy"] * _dot(after, after))
    silent = (rows["energy"] == 0) & (rows["error"] == 0)
    cosine = np.divide(_dot(before, after), norms, out=np.zeros_like(norms), where=norms > 0)
    rows["cosine"] = np.where(silent, 1.0, np.clip(cosine, -1, 1))


def _dot(first: Numbers, second: Numbers) -> Numbers:
    """Row by row, (n, d) x (n, d) -> (n,), summed in double precision."""
    dots: Numbers = np.einsum("nd,nd->n", first, second, dtype=np.float64)
    return dots


def _compare_decisions(rows: Rows, before: Numbers, after: Numbers) -> None:
    """Fill in agreement and divergence from probabilities (n, P, K)."""
    decided, decided_after = before.argmax(axis=2), after.argmax(axis=2)
    same = decided == decided_after
    rows["agreement"] = same.mean(axis=1)
    ratio = np.log(np.maximum(before, SMALLEST)) - np.log(np.maximum(after, SMALLEST))
    rows["divergence"] = np.maximum(np.sum(before * ratio, axis=2, dtype=np.float64).mean(axis=1), 0)
    if before.shape[1] == 1:
        rows["before"], rows["after"] = decided[:, 0], decided_after[:, 0]
        rows["confidence_before"], rows["confidence_after"] = before.max(axis=(1, 2)), after.max(axis=(1, 2))
        return
    for row, first, second, equal in zip(rows, decided, decided_after, same, strict=True):
        background = np.bincount(first).argmax()
        foreground = (first != background) | (second != background)
        row["foreground"] = equal[foreground].mean() if foreground.any() else np.nan
