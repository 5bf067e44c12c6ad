"""Mean average precision against pycocotools' own, and what a detector must answer for."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from workers.annotations import Boxes
from workers.evaluation.decoders import Detections
from workers.evaluation.tasks import detection
from workers.evaluation.tasks.detection import Detection, Found
from workers.recipe import Constraint
from workers.statistics.constraint import Outcomes, verify_constraint


class NoDecoder:
    name = "none"

    def decode(self, values: object) -> Detections:
        raise AssertionError


TASK = Detection(NoDecoder())


def scenes(n: int, seed: int, classes: int = 4) -> tuple[list[Boxes], list[Detections]]:
    """Objects, and detections that find most of them about where they are, with some that are nowhere."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(n):
        count = int(rng.integers(0, 6))
        corner = rng.uniform(0, 200, (count, 2))
        corners = np.concatenate([corner, corner + rng.uniform(10, 80, (count, 2))], axis=1).astype(np.float32)
        labels = rng.integers(0, classes, count)
        truth.append(Boxes(corners, labels, rng.random(count) < 0.1))
        seen = rng.random(count) < 0.8
        invented = rng.uniform(0, 200, (3, 2))
        boxes = np.concatenate(
            [corners[seen] + rng.normal(0, 4, (seen.sum(), 4)), np.concatenate([invented, invented + 40], axis=1)]
        ).astype(np.float32)
        scores = rng.random(len(boxes)).astype(np.float32)
        order = np.argsort(-scores)
        found.append(Detections(boxes[order], scores[order], np.append(labels[seen], rng.integers(0, classes, 3))[order]))
    return truth, found


def pycocotools_map(truth: list[Boxes], found: list[Detections]) -> tuple[float, float]:
    """mAP and mAP50 by COCOeval from end to end."""
    with redirect_stdout(io.StringIO()):
        objects = detection._coco(truth, map(detection._objects, truth))
        made = COCOeval(objects, detection._coco(truth, map(detection._scored, found)), "bbox")
        made.evaluate()
        made.accumulate()
        made.summarize()
    return float(made.stats[0]), float(made.stats[1])


def mean_precision(truth: list[Boxes], found: list[Detections], counts: NDArray[np.float64]) -> tuple[float, float]:
    rows = [Found(detections, detections, boxes) for boxes, detections in zip(truth, found, strict=True)]
    every, half, *_ = TASK.measures(rows)
    return float(every.scores(counts)[0, 1]), float(half.scores(counts)[0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_pycocotools(seed: int) -> None:
    truth, found = scenes(30, seed)
    assert mean_precision(truth, found, np.ones((1, 30))) == pytest.approx(pycocotools_map(truth, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_that_counts_twice_is_a_sample_that_is_there_twice(seed: int) -> None:
    truth, found = scenes(20, seed)
    counts = np.random.default_rng(seed).integers(0, 4, 20)
    often = np.repeat(np.arange(20), counts)
    expected = pycocotools_map([truth[i] for i in often], [found[i] for i in often])
    assert mean_precision(truth, found, counts[None].astype(float)) == pytest.approx(expected, abs=1e-9)


def verdict(before: list[Detections], after: list[Detections], limit: float) -> object:
    rows = [Found(first, second, None) for first, second in zip(before, after, strict=True)]
    measures = tuple(measure.resampled(np.random.default_rng(0)) for measure in TASK.measures(rows))
    return verify_constraint(Constraint(metric="agreement", max_drop=limit), Outcomes(False, measures=measures)).met


NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def test_a_detector_is_met_by_itself_and_missed_by_one_that_finds_nothing() -> None:
    _, found = scenes(64, 0)
    assert verdict(found, found, 0.05) is True
    assert verdict(found, [NOTHING] * 64, 0.99) is False


def test_where_the_original_finds_nothing_there_is_no_verdict() -> None:
    assert verdict([NOTHING] * 64, [NOTHING] * 64, 0.5) == "unverified"
