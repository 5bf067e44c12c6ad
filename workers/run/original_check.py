"""Whether the original answers the labels at all: most wrong results begin with preprocessing that is not the model's.

And by which numbers a detector calls its classes: from 0 as the labels do, from 1, or by the ids of COCO's categories. Exports
differ, and nothing in a graph says so: heads of 91 classes count COCO's ids, which have gaps, and many count a background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.annotations import Boxes, TargetKind, Targets
from workers.calibration import Samples
from workers.calibration.preprocessing import spelt
from workers.errors import DoubtfulOriginal
from workers.evaluation.model_comparison import compare_answers
from workers.evaluation.model_outputs import inference_request, sample_outputs
from workers.evaluation.tasks import Task
from workers.report.formatting import metric as metric_name
from workers.report.formatting import percent
from workers.statistics.measures import Resampled

SAMPLES = 64  # that are tried
FEWEST = 16  # labelled samples that can tell; preprocessing that does no better on them is not tried on the others
CLEARLY = 0.05  # better by at least this, and by more than chance explains


Answers = Sequence[list[NDArray[Any]]]  # of every sample


class Tryout:
    """The original on some of the samples that judge; it answers when it is first asked."""

    def __init__(self, original: ov.Model, samples: Samples, threads: int, rng: np.random.Generator) -> None:
        self.samples = samples.take(np.sort(rng.choice(samples.count, min(SAMPLES, samples.count), replace=False)))
        self._original, self._threads, self._rng = original, threads, rng

    @cached_property
    def answers(self) -> Answers:
        """To each of the samples."""
        return self.to(self.samples)

    def to(self, samples: Samples) -> Answers:
        """The answers to samples that are prepared in another way."""
        return sample_outputs(self.request, samples)

    @cached_property
    def request(self) -> ov.InferRequest:
        """The original, compiled for one sample."""
        return inference_request(self._original, self.samples, 1, self._threads)

    def resampled(self, seen: Resampled) -> Resampled:
        """With the intervals that a look at the samples alone has not."""
        return seen.measure.resampled(self._rng)


def check_original(tryout: Tryout, task: Task) -> None:
    """Raises DoubtfulOriginal where the labels show that the model guesses, or that other preprocessing does clearly better."""
    some = tryout.samples
    if some.count < FEWEST or some.target_kind not in task.answers:
        return
    as_it_is = compare_answers(task, some, tryout.answers, tryout.answers)
    if as_it_is is None or not as_it_is.defined or not as_it_is.measure.bounded:
        return
    tried = {what: replace(some, feeds=feeds) for what, feeds in some.other_feeds.items()}
    found = {what: _tried(tryout, task, other) for what, other in tried.items()}
    better = {what: result for what, result in found.items() if result and _is_clearly_better(tryout, result)}
    if better or _guesses(as_it_is, task):
        raise DoubtfulOriginal(_told(as_it_is, found, better), hint=_remedy(better))


def _tried(tryout: Tryout, task: Task, other: Samples) -> Resampled | None:
    """The metric as it is and with other preprocessing; on the first samples alone where it does no better there."""
    few, answers = other.take(range(FEWEST)), tryout.answers
    first = compare_answers(task, few, answers[:FEWEST], tryout.to(few))
    if first is None or not first.defined or first.drop.value >= 0:
        return first
    return compare_answers(task, other, answers, tryout.to(other))


def _is_clearly_better(tryout: Tryout, seen: Resampled) -> bool:
    """Whether the gain is large, and its paired interval lies above zero."""
    if not seen.defined or -seen.drop.value < CLEARLY:
        return False
    high = tryout.resampled(seen).drop.high
    return high is not None and high < 0


def _guesses(result: Resampled, task: Task) -> bool:
    """Whether a classifier is no better than chance, by two standard errors; whether anything else gets nothing right."""
    if not result.measure.higher_is_better:
        return False
    chance = 1 / task.classes if task.name == "classification" and task.classes else 0.0
    return result.original.value <= chance + 2 * sqrt(chance * (1 - chance) / result.measure.n)


def _told(as_it_is: Resampled, found: Mapping[str, Resampled | None], better: Mapping[str, Resampled]) -> str:
    name = metric_name(as_it_is.measure.name)
    text = f"{name} of the original on {as_it_is.measure.n} labelled samples is {percent(as_it_is.original.value)}"
    if better:
        best = max(better, key=lambda what: better[what].compressed.value)
        return f"{text}; with {best} it is {percent(better[best].compressed.value)}."
    tried = ", ".join(f"{what} {percent(result.compressed.value)}" for what, result in found.items() if result)
    return f"{text}, no better than guessing." + (f" Tried as well: {tried}." if tried else "")


def _remedy(better: Mapping[str, Resampled]) -> str | None:
    if not better:
        return None
    best = max(better, key=lambda what: better[what].compressed.value)
    return f"Set {spelt(best)} in the recipe, or with --set; or set check_original to false to go on as it is."


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


def find_numbering(tryout: Tryout, task: Task) -> Numbering | None:
    """The numbering by which the original finds clearly more of what is labelled; None where the labels' own will do."""
    some = tryout.samples
    if some.target_kind is not TargetKind.BOXES or TargetKind.BOXES not in task.answers:
        return None
    labels: list[Boxes] = some.targets_of(0, some.count) or []
    most = max((int(boxes.labels.max(initial=0)) for boxes in labels), default=0)
    tried = _numberings(max(most + 1, len(some.class_ids)), some.class_ids)
    precision = {numbering: _precision(task, tryout.answers, [numbering.of(boxes) for boxes in labels]) for numbering in tried}
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


def _precision(task: Task, found: Answers, labels: list[Boxes]) -> float:
    """mAP50 of the answers, one list of outputs (1, ...) for each sample; 0 where nothing defines it."""
    rows = [row for outputs, boxes in zip(found, labels, strict=True) for row in task.compare(outputs, outputs, [boxes])]
    known: Mapping[str, float] = {
        measure.name: float(measure.scores(np.ones((1, len(rows))))[0, 0])
        for measure in task.measures(rows)
        if measure.reference == "labels"
    }
    return float(np.nan_to_num(known.get("mAP50", 0.0)))
