"""Labels of images, brought into the frame of the model's input; and labels of arrays."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.annotations import IGNORED, Boxes, TargetKind, Targets
from workers.calibration.formats import Annotation, RawBoxes
from workers.calibration.image_decoding import Placement, cut_out, decode, decode_mask, picture_size, place_picture
from workers.calibration.image_folders import Album
from workers.calibration.preprocessing import ImageInput
from workers.errors import LabelMismatch
from workers.recipe import Preprocessing

LEAST_SIDE = 1.0  # pixels that must be left of a box in the frame


def targets_of_album(album: Album, annotation: Annotation, image: ImageInput, declared: Preprocessing) -> Targets:
    """The labels of images, read and moved as the images are."""

    def placement(name: str) -> Placement:
        size = picture_size(BytesIO(album.read(name)), name)
        return place_picture(size, f"The image {name!r}", image.height, image.width, declared)

    def boxes(name: str) -> Boxes:
        return framed(annotation.entries[name], placement(name), image.height, image.width)

    def mask(name: str) -> NDArray[np.uint8]:
        picture = decode_mask(BytesIO(album.read(annotation.entries[name])), annotation.entries[name])
        where = place_picture(picture.size, f"The mask of {name!r}", image.height, image.width, declared)
        return np.asarray(cut_out(picture, where, image.height, image.width, Image.Resampling.NEAREST, IGNORED), np.uint8)

    def wanted(name: str) -> NDArray[np.uint8]:
        picture = decode(BytesIO(album.read(annotation.entries[name])), annotation.entries[name], 3)
        return seen_part(picture, placement(name), image.height, image.width)

    readers: dict[TargetKind, Callable[[str], Any]] = {
        TargetKind.BOXES: boxes,
        TargetKind.MAP: mask,
        TargetKind.IMAGE: wanted,
        TargetKind.TEXT: lambda name: annotation.entries[name],
        TargetKind.VALUES: lambda name: np.asarray(annotation.entries[name], np.float64),
    }
    read = readers[annotation.kind]
    return Targets(annotation.kind, lambda number: read(album.names[number]))


def framed(raw: RawBoxes, where: Placement, height: int, width: int) -> Boxes:
    """Annotated boxes in the frame of the input, cut at its rim; those outside are dropped."""
    sides = np.array([where.size[0] / where.scale[0], where.size[1] / where.scale[1]] * 2, np.float32)
    moved = where.corners(raw.corners * sides if raw.shares else raw.corners)
    cut = np.clip(moved, 0, np.array([width, height] * 2, np.float32))
    left = ((cut[:, 2:] - cut[:, :2]) >= LEAST_SIDE).all(axis=1)
    return Boxes(cut[left], raw.labels[left], raw.crowd[left])


def seen_part(picture: Image.Image, where: Placement, height: int, width: int) -> NDArray[np.uint8]:
    """The part of a wanted picture that shows what the model sees, in the wanted picture's own resolution."""
    fraction = picture.width / where.size[0], picture.height / where.size[1]
    left, top = where.left * fraction[0], where.top * fraction[1]
    box = tuple(map(round, (left, top, left + width * fraction[0], top + height * fraction[1])))
    return np.asarray(picture.crop((box[0], box[1], box[2], box[3])), np.uint8)


def targets_of_array(labels: NDArray[Any], count: int) -> Targets:
    """Labels of arrays that are no class indices, by their type and shape. Raises LabelMismatch where they are none."""
    if labels.ndim == 0 or len(labels) != count:
        raise LabelMismatch(f"There are {count} samples, and labels of shape {labels.shape}.")
    return Targets(kind_of(labels), lambda number: np.asarray(labels[number]))


def kind_of(labels: NDArray[Any]) -> TargetKind:
    """What labels that are no class indices are. Raises LabelMismatch where they are nothing that a task has."""
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise LabelMismatch("The labels hold NaN or infinity.")
        return TargetKind.VALUES
    if labels.ndim == 2:
        return TargetKind.LABELS if labels.min() >= 0 and labels.max() <= 1 else TargetKind.TEXT
    if labels.ndim == 3:
        return TargetKind.MAP
    if labels.ndim == 4 and labels.dtype == np.uint8:
        return TargetKind.IMAGE
    raise LabelMismatch(f"The labels are {labels.dtype} of shape {labels.shape}, which no task has.")
