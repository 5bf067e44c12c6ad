"""By which numbers a detector calls its classes: from 0 as the labels do, from 1, or by the ids of COCO's categories.

Exports differ, and nothing in a graph says so: heads of 91 classes count COCO's ids, which have gaps, and many count a
background. So the original is asked, on a few labelled samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.annotations import Boxes, TargetKind, Targets
from workers.calibration import Samples
from workers.evaluation.fidelity import answers
from workers.evaluation.tasks import Task

SAMPLES = 64  # that are asked
CLEARLY = 0.05  # mAP50 by which another numbering must do better


@dataclass(frozen=True, slots=True, eq=False)
class Numbering:
    """What a detector calls each class of the labels."""

    what: str
    numbers: NDArray[np.int64]

    def of(self, boxes: Boxes) -> Boxes:
        """The same objects, as the detector calls them."""
        return replace(boxes, labels=self.numbers[boxes.labels])

    def applied(self, samples: Samples) -> Samples:
        """The samples with labels that the detector understands."""
        targets = samples.targets
        if targets is None or targets.kind is not TargetKind.BOXES:
            return samples
        names = [""] * (int(self.numbers.max()) + 1)
        for number, name in zip(self.numbers.tolist(), samples.class_names, strict=False):
            names[number] = name
        note = f"The detector numbers its classes {self.what}; the labels were brought into its numbers."
        read = targets.read
        renumbered = Targets(targets.kind, lambda number: self.of(read(number)))
        return replace(samples, targets=renumbered, class_names=tuple(names), notes=(*samples.notes, note))


def find_numbering(
    original: ov.Model, samples: Samples, task: Task, threads: int, rng: np.random.Generator
) -> Numbering | None:
    """The numbering by which the original finds clearly more of what is labelled; None where the labels' own will do."""
    if samples.target_kind is not TargetKind.BOXES or TargetKind.BOXES not in task.answers:
        return None
    some = samples.take(np.sort(rng.choice(samples.count, min(SAMPLES, samples.count), replace=False)))
    labels: list[Boxes] = some.targets_of(0, some.count) or []
    found = list(answers(original, some, threads))
    most = max((int(boxes.labels.max(initial=0)) for boxes in labels), default=0)
    tried = _numberings(max(most + 1, len(samples.class_ids)), samples.class_ids)
    precision = {numbering: _precision(task, found, [numbering.of(boxes) for boxes in labels]) for numbering in tried}
    best = max(tried, key=lambda numbering: precision[numbering])
    return best if precision[best] >= precision[tried[0]] + CLEARLY else None


def _numberings(classes: int, ids: tuple[int, ...]) -> list[Numbering]:
    """As the labels are, first."""
    counted = np.arange(classes)
    made = [Numbering("from 0", counted), Numbering("from 1", counted + 1)]
    if ids and ids != tuple(range(ids[0], ids[0] + len(ids))):
        given = np.array(ids)
        made += [Numbering("by the ids of COCO's categories", given), Numbering("by COCO's ids less 1", given - 1)]
    return made


def _precision(task: Task, found: list[list[NDArray[np.generic]]], labels: list[Boxes]) -> float:
    """mAP50 of the answers, one list of outputs (1, ...) for each sample; 0 where nothing defines it."""
    rows = [row for outputs, boxes in zip(found, labels, strict=True) for row in task.compare(outputs, outputs, [boxes])]
    known: Mapping[str, float] = {
        measure.name: float(measure.scores(np.ones((1, len(rows))))[0, 0])
        for measure in task.measures(rows)
        if measure.reference == "labels"
    }
    return float(np.nan_to_num(known.get("mAP50", 0.0)))
