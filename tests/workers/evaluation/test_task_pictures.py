"""Boxes and maps drawn, and what the report tells of classes."""

import io
from collections import Counter

import numpy as np
from PIL import Image

from workers.evaluation.decoders import Detections
from workers.evaluation.task_pictures import AFTER, BEFORE, task_pictures
from workers.evaluation.task_report import change_reports, class_reports
from workers.evaluation.tasks.classification import Classification
from workers.evaluation.tasks.detection import Detection, Found, changes_of
from workers.evaluation.tasks.segmentation import Segmentation
from workers.statistics.decisions import OutputKind, Reading


class NoDecoder:
    name = "none"

    def decode(self, values: object) -> Detections:
        raise AssertionError


def detections(*objects: tuple[list[float], float, int]) -> Detections:
    corners, scores, labels = zip(*objects, strict=True) if objects else ((), (), ())
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64))


LEFT, RIGHT, ABOVE = [5.0, 5, 40, 40], [60.0, 60, 90, 90], [60.0, 5, 90, 30]
ROW = Found(detections((LEFT, 0.9, 1), (RIGHT, 0.8, 2)), detections((LEFT, 0.7, 3), (ABOVE, 0.6, 2)), None)


def test_what_became_of_objects() -> None:
    assert changes_of(ROW) == Counter({(1, 3): 1, (2, None): 1, (None, 2): 1})
    same = Found(ROW.before, ROW.before, None)
    assert changes_of(same) == Counter()


def test_boxes_of_both_models_are_drawn_on_what_changed_most() -> None:
    same = Found(ROW.before, ROW.before, None)
    black = np.zeros((2, 100, 100, 3), np.uint8)
    first, second = task_pictures(Detection(NoDecoder()), [same, ROW], lambda start, stop: black[start:stop])
    assert (first.original, first.compressed, first.unit) == (2, 2, "objects")
    assert round(first.compressed_confidence, 2) == 0.65
    colours = {colour for _, colour in Image.open(io.BytesIO(first.png)).convert("RGB").getcolors(10_000) or []}
    assert {BEFORE, AFTER} <= colours
    assert second.original_confidence == second.compressed_confidence


def test_maps_of_both_models_are_painted() -> None:
    task = Segmentation(0, 0, 2)
    before, after = np.zeros((1, 2, 8, 8)), np.zeros((1, 2, 8, 8))
    before[0, 1, :4], after[0, 1, :2] = 1, 1
    rows = task.compare([before], [after], None)
    (picture,) = task_pictures(task, rows, lambda start, stop: np.full((1, 8, 8, 3), 90, np.uint8))
    assert (picture.original, picture.compressed, picture.unit) == (2, 2, "classes")
    assert picture.compressed_confidence == 0.75
    assert Image.open(io.BytesIO(picture.png)).size == (8, 16)


def test_classes_that_lost_most_come_first_by_their_names() -> None:
    task = Classification(0, Reading(OutputKind.CLASSES, False, 0, 3))
    before, after = np.eye(3)[[0, 0, 1, 2]], np.eye(3)[[0, 1, 1, 0]]
    rows = task.compare([before], [after], [0, 0, 1, 2])
    found = class_reports(task, rows, ("ant", "bee"))
    assert [(row.label, row.name, row.n, row.original, row.compressed) for row in found] == [
        (2, None, 1, 1, 0),
        (0, "ant", 2, 1, 0.5),
        (1, "bee", 1, 1, 1),
    ]
    assert [(row.original, row.compressed, row.n) for row in change_reports(task, rows)] == [(0, 1, 1), (2, 0, 1)]
