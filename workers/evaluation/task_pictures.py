"""Samples to look at where an answer is more than a class: boxes or maps of both models on the picture."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from workers.annotations import Boxes
from workers.evaluation.decoders import Detections
from workers.evaluation.tasks import Task, innermost
from workers.evaluation.tasks.detection import CERTAIN, Detection, Found, certain, changes_of
from workers.evaluation.tasks.segmentation import Maps, Segmentation
from workers.report import Picture, encode_png

Pixels = NDArray[np.uint8]
Images = Callable[[int, int], Pixels | None]

PICTURES = 12
BEFORE, AFTER = (0, 158, 115), (230, 97, 0)  # colours that the colour-blind tell apart
GOLDEN = 0.618033988749895  # turns the hue from one class to the next


def task_pictures(task: Task, rows: Sequence[Any], images: Images) -> tuple[Picture, ...]:
    """The samples that changed most; none for tasks whose answers cannot be drawn, and for samples that are no images."""
    task, rows = innermost(task, rows)
    if isinstance(task, Detection):
        return _most([sum(changes_of(row).values()) for row in rows], images, lambda index, seen: _boxes(rows[index], seen))
    if isinstance(task, Segmentation):
        return _most([-_unchanged(row) for row in rows], images, lambda index, seen: _maps(rows[index], seen))
    return ()


def _most(changed: Sequence[float], images: Images, draw: Callable[[int, Pixels], Picture]) -> tuple[Picture, ...]:
    """Pictures of the samples whose numbers are largest."""
    made = []
    for index in np.argsort(-np.array(changed, np.float64), kind="stable")[:PICTURES].tolist():
        seen = images(index, index + 1)
        if seen is not None:
            made.append(draw(index, seen[0]))
    return tuple(made)


def _boxes(row: Found, pixels: Pixels) -> Picture:
    """The objects of both models, framed in their colours."""
    picture = _coloured(pixels)
    pen = ImageDraw.Draw(picture)
    sides = certain(row.before), certain(row.after)
    for boxes, colour, width in ((sides[0], BEFORE, 5), (sides[1], AFTER, 2)):
        _frame(pen, boxes, colour, max(1, width * picture.width // 416))
    counts = [len(boxes.labels) for boxes in sides]
    sure = _certainty(row.before), _certainty(row.after)
    return Picture(encode_png(np.asarray(picture)), counts[0], counts[1], *sure, unit="objects")


def _certainty(found: Detections) -> float:
    """The mean score of the objects that count as there; 0 without any."""
    scores = found.above(CERTAIN).scores
    return float(scores.mean()) if len(scores) else 0.0


def _frame(pen: ImageDraw.ImageDraw, boxes: Boxes, colour: tuple[int, int, int], width: int) -> None:
    for left, top, right, bottom in boxes.corners.tolist():
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)


def _maps(row: Maps, pixels: Pixels) -> Picture:
    """The picture with the map of the original, and the same with that of the compressed model below it."""
    picture = _coloured(pixels)
    parts = [np.asarray(Image.blend(picture, _painted(found, picture.size), 0.6)) for found in (row.before, row.after)]
    counts = [len(np.unique(found)) for found in (row.before, row.after)]
    return Picture(encode_png(np.concatenate(parts)), counts[0], counts[1], 1.0, _unchanged(row), unit="classes")


def _painted(found: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Every class in a colour of its own."""
    hue = (found * GOLDEN % 1 * 255).astype(np.uint8)
    full = np.full_like(hue, 200)
    return Image.merge("HSV", [Image.fromarray(band) for band in (hue, full, full)]).convert("RGB").resize(size, 0)


def _unchanged(row: Maps) -> float:
    return float(np.mean(row.before == row.after))


def _coloured(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]).convert("RGB")
