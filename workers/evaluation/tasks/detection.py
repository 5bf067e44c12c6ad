"""Detection: COCO's mean average precision, against the labels or against what the original detects.

Boxes are matched by pycocotools. Average precision is then summed up with a count for every sample, so that the same matches
serve for all resamples of the bootstrap.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from workers.annotations import Boxes, TargetKind
from workers.evaluation.decoders import Decoder, Detections, overlaps
from workers.evaluation.tasks.task import ClassScore, Outputs
from workers.statistics.intervals import Values
from workers.statistics.measures import Measure, Reference

CERTAIN = 0.3  # least score of the original's detections that count as there
SAME_PLACE = 0.5  # IoU from which two boxes are on one object
MOST = 100  # detections of a picture that count
RECALLS = np.linspace(0, 1, 101)
CELLS = 2**22  # numbers that are worked on at once


class Found(NamedTuple):
    """What is kept of a sample."""

    before: Detections
    after: Detections
    labels: Boxes | None


@dataclass(frozen=True, slots=True)
class Matches:
    """The detections of one class in all samples, the surest first."""

    samples: NDArray[np.int64]  # (d,) which sample each belongs to
    right: NDArray[np.bool_]  # (t, d) matched, by threshold of IoU
    counted: NDArray[np.bool_]  # (t, d) neither on a crowd nor ignored
    present: Values  # (n,) objects of the class in each sample


@dataclass(frozen=True, slots=True)
class Detection:
    """Boxes, scores and classes in pictures."""

    decoder: Decoder
    name: ClassVar[str] = "detection"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.BOXES})

    @property
    def notes(self) -> tuple[str, ...]:
        """Which decoder, and what counts as there."""
        return (
            f"Detections are decoded as {self.decoder.name}. Against the original, what it detects with a score of at least "
            f"{CERTAIN} counts as there.",
        )

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Boxes] | None) -> list[Found]:
        """The detections of both models."""
        first = self._decoded(before)
        second = first if after is before else self._decoded(after)
        labels = [None] * len(first) if targets is None else list(targets)
        return [Found(*row) for row in zip(first, second, labels, strict=True)]

    def _decoded(self, outputs: Outputs) -> list[Detections]:
        return [self.decoder.decode([value[index] for value in outputs]) for index in range(len(outputs[0]))]

    def measures(self, rows: Sequence[Found]) -> tuple[Measure, ...]:
        """mAP over IoU 0.5 to 0.95, and at 0.5."""
        before, after = [row.before for row in rows], [row.after for row in rows]
        labels = [row.labels for row in rows if row.labels is not None]
        found: tuple[Measure, ...] = ()
        if len(labels) == len(rows):
            found = _measures(labels, before, after, "labels")
        return found + _measures([certain(detections) for detections in before], before, after, "original")

    def by_class(self, rows: Sequence[Found]) -> list[ClassScore]:
        """Average precision of every class that there is."""
        labels = [row.labels for row in rows if row.labels is not None]
        known = len(labels) == len(rows)
        truth = labels if known else [certain(row.before) for row in rows]
        reference: Reference = "labels" if known else "original"
        matched = [match(truth, [getattr(row, side) for row in rows]) for side in ("before", "after")]
        once = np.ones((1, len(rows)))
        scores = []
        for label, matches in matched[0].items():
            before, after = (float(average_precision(side[label], once).mean()) for side in matched)
            scores.append(ClassScore(label, int(matches.present.sum()), before, after, reference))
        return scores

    def changes(self, rows: Sequence[Found]) -> Counter[tuple[int | None, int | None]]:
        """Which object became which, by the boxes of both models that lie on each other."""
        return sum((changes_of(row) for row in rows), Counter())


def changes_of(row: Found) -> Counter[tuple[int | None, int | None]]:
    """Objects of the original that the compressed model calls otherwise or does not find, and those that only it finds."""
    before, after = row.before.above(CERTAIN), row.after.above(CERTAIN)
    free = np.ones(len(after.labels), bool)
    found: Counter[tuple[int | None, int | None]] = Counter()
    for box, label in zip(before.corners, before.labels.tolist(), strict=True):
        shared = overlaps(box[None], after.corners)[0] * free if free.any() else np.zeros(0)
        best = int((shared + (after.labels == label) * (shared >= SAME_PLACE)).argmax()) if shared.size else -1
        if best < 0 or shared[best] < SAME_PLACE:
            found[label, None] += 1
            continue
        free[best] = False
        if after.labels[best] != label:
            found[label, int(after.labels[best])] += 1
    found.update((None, int(label)) for label in after.labels[free])
    return found


def certain(detections: Detections) -> Boxes:
    """What the original is sure enough of to count as there."""
    kept = detections.above(CERTAIN)
    return Boxes(kept.corners, kept.labels, np.zeros(len(kept.labels), bool))


def match(truth: Sequence[Boxes], detections: Sequence[Detections]) -> dict[int, Matches]:
    """The detections of every class that is there, matched by COCO's rules: the surest first, each object once."""
    with redirect_stdout(io.StringIO()):  # standard output belongs to the events of the job
        evaluation = COCOeval(_coco(truth, map(_objects, truth)), _coco(truth, map(_scored, detections)), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
    by_class: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for result in evaluation.evalImgs:
        if result is not None:
            by_class[result["category_id"]].append(result)
    matched = {label: _matches(results, len(truth)) for label, results in by_class.items()}
    return {label: matches for label, matches in matched.items() if matches.present.any()}


def average_precision(matches: Matches, counts: Values) -> Values:
    """Average precision of a class by threshold of IoU (r, t), samples counted `counts` (r, n) times; NaN without objects.

    Precision is looked at where a detection is right: between those it only falls.
    """
    weights = counts[:, matches.samples]  # (r, d)
    present = counts @ matches.present
    seen = np.cumsum(weights * matches.counted[0], axis=1)
    found = np.full((len(counts), len(matches.right)), np.nan)
    for threshold, (right, counted) in enumerate(zip(matches.right, matches.counted, strict=True)):
        same = np.array_equal(counted, matches.counted[0])  # mostly: only what lies on a crowd is not counted
        all_seen = seen if same else np.cumsum(weights * counted, axis=1)
        found[:, threshold] = _area(weights, all_seen, np.flatnonzero(right & counted), present)
    found[present == 0] = np.nan
    return found


def _area(weights: Values, seen: Values, right: NDArray[np.int64], present: Values) -> Values:
    """Precision averaged over COCO's recalls (r,): detections are `right` at these positions, `seen` (r, d) counts all."""
    hits = np.cumsum(weights[:, right], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.nan_to_num(hits / seen[:, right])
        recall = np.nan_to_num(hits / present[:, None])
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, recall, side="right") * (hits > 0)
    area: Values = (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return area


def _measures(
    truth: Sequence[Boxes], before: Sequence[Detections], after: Sequence[Detections], reference: Reference
) -> tuple[Measure, ...]:
    matched = (match(truth, before), match(truth, after))

    def scores(counts: Values, thresholds: slice) -> Values:
        return np.stack([_mean_over_classes(matches, counts, thresholds) for matches in matched], axis=1)

    n = len(truth)
    return (
        Measure("mAP", n, lambda counts: scores(counts, slice(None)), reference),
        Measure("mAP50", n, lambda counts: scores(counts, slice(1)), reference),
    )


def _mean_over_classes(matched: Mapping[int, Matches], counts: Values, thresholds: slice) -> Values:
    """mAP (r,); NaN where no class has an object."""
    totals, classes = np.zeros(len(counts)), np.zeros(len(counts))
    for matches in matched.values():
        some = Matches(matches.samples, matches.right[thresholds], matches.counted[thresholds], matches.present)
        step = max(1, CELLS // max(len(some.samples), 1))
        parts = [average_precision(some, counts[start : start + step]) for start in range(0, len(counts), step)]
        precision = np.concatenate(parts).mean(axis=1)
        totals += np.nan_to_num(precision)
        classes += np.isfinite(precision)
    with np.errstate(invalid="ignore"):
        mean: Values = totals / classes
        return mean


def _matches(results: Sequence[Mapping[str, Any]], n: int) -> Matches:
    """Of one class, by the results of its samples."""
    scores = np.concatenate([result["dtScores"] for result in results])
    order = np.argsort(-scores, kind="mergesort")
    samples = np.concatenate([np.full(len(result["dtScores"]), result["image_id"]) for result in results]).astype(np.int64)
    ignored = np.concatenate([result["dtIgnore"] for result in results], axis=1).astype(bool)
    right = np.concatenate([result["dtMatches"] for result in results], axis=1) > 0
    present = np.zeros(n)
    for result in results:
        present[result["image_id"]] = np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)
    return Matches(samples[order], right[:, order], ~ignored[:, order], present)


def _coco(samples: Sequence[Boxes], objects: Iterable[list[dict[str, Any]]]) -> COCO:
    """The objects of all samples in COCO's form; ids count from 1, as 0 stands for unmatched."""
    annotations = [entry | {"image_id": image} for image, entries in enumerate(objects) for entry in entries]
    classes = sorted({label for boxes in samples for label in boxes.labels.tolist()})
    made = COCO()
    made.dataset = {
        "images": [{"id": image} for image in range(len(samples))],
        "annotations": [entry | {"id": number} for number, entry in enumerate(annotations, 1)],
        "categories": [{"id": label} for label in classes],
    }
    made.createIndex()
    return made


def _objects(boxes: Boxes) -> list[dict[str, Any]]:
    sides = zip(_boxes(boxes.corners), boxes.labels.tolist(), boxes.crowd.tolist(), strict=True)
    return [
        {"bbox": box, "area": box[2] * box[3], "category_id": label, "iscrowd": int(crowd), "ignore": int(crowd)}
        for box, label, crowd in sides
    ]


def _scored(detections: Detections) -> list[dict[str, Any]]:
    told = zip(_boxes(detections.corners), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    return [{"bbox": box, "area": box[2] * box[3], "category_id": label, "score": score} for box, label, score in told]


def _boxes(corners: NDArray[np.float32]) -> list[list[float]]:
    """Left, top, width, height."""
    wide = corners.astype(np.float64)
    boxes: list[list[float]] = np.concatenate([wide[:, :2], np.clip(wide[:, 2:] - wide[:, :2], 0, None)], axis=1).tolist()
    return boxes
