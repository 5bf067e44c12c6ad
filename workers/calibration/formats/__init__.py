"""Datasets as people have them, one file a format: each finds out by itself whether the files are of its form."""

from collections.abc import Callable

from workers.annotations import TargetKind
from workers.calibration.formats import class_folders, coco, cvat, pictures, table, text_lines, voc, yolo
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes

__all__ = ["Annotation", "FileListing", "RawBoxes", "find_annotation"]

OF_TASK = {
    "classification": TargetKind.CLASS,
    "embedding": TargetKind.CLASS,
    "detection": TargetKind.BOXES,
    "segmentation": TargetKind.MAP,
    "regression": TargetKind.VALUES,
    "image": TargetKind.IMAGE,
    "text_lines": TargetKind.TEXT,
}


def find_annotation(listing: FileListing, classes: int | None, task: str | None) -> Annotation | None:
    """What the images are labelled with, of the kind that `task` answers where it is told.

    `classes` are those of the model, as far as known. Raises LabelMismatch for annotations that are broken.
    """
    kind = OF_TASK.get(task) if task else None
    finders: tuple[tuple[TargetKind | None, Callable[[FileListing], Annotation | None]], ...] = (
        (TargetKind.TEXT, text_lines.find),
        (None, table.find),
        (TargetKind.BOXES, coco.find),
        (TargetKind.BOXES, cvat.find),
        (TargetKind.BOXES, voc.find),
        (TargetKind.BOXES, yolo.find),
        (TargetKind.MAP, pictures.find_masks),
        (TargetKind.IMAGE, pictures.find_pairs),
        (TargetKind.CLASS, lambda files: class_folders.find(files, classes)),
    )
    for of, finder in finders:
        if kind is None or of is None or of is kind:
            found = finder(listing)
            if found is not None and (kind is None or found.kind is kind):
                return found
    return None
