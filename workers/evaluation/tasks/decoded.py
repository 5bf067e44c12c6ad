"""A task behind a decoder: what a decoding model makes of the outputs is what the task sees."""

from collections.abc import Sequence
from typing import Any

from workers.annotations import TargetKind
from workers.errors import InvalidRecipe
from workers.evaluation.decoders import Frame
from workers.evaluation.decoders.decoder_model import DecoderModel
from workers.evaluation.decoders.suppressed import Suppressed
from workers.evaluation.tasks.choice import MOST_CODES
from workers.evaluation.tasks.detection import Detection
from workers.evaluation.tasks.embedding import Embedding
from workers.evaluation.tasks.segmentation import Segmentation
from workers.evaluation.tasks.task import Array, Outputs, Task
from workers.statistics.measures import Measure


class Decoded:
    """Another task, on decoded outputs."""

    def __init__(self, decoder: DecoderModel, values: Sequence[Array], frame: Frame | None) -> None:
        """The task is told by what the decoder returns for the first sample. Raises InvalidRecipe where that is none."""
        self.decoder = decoder
        self.task = _task(decoder, decoder.decode_sample(values), frame)

    @property
    def name(self) -> str:
        """That of the task."""
        return self.task.name

    @property
    def classes(self) -> int | None:
        """As the task says."""
        return self.task.classes

    @property
    def answers(self) -> frozenset[TargetKind]:
        """As the task says."""
        return self.task.answers

    @property
    def notes(self) -> tuple[str, ...]:
        """That a model decodes."""
        return (f"A decoder of the user's turns the outputs into {', '.join(self.decoder.names)}.", *self.task.notes)

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Any] | None) -> list[Any]:
        """As the task does, sample by sample: decoded outputs may differ in size."""
        rows = []
        for index in range(len(before[0])):
            pair = [self.decoder.decode_sample([value[index] for value in outputs]) for outputs in (before, after)]
            first, second = ([value[None] for value in decoded] for decoded in pair)
            rows += self.task.compare(first, second, None if targets is None else targets[index : index + 1])
        return rows

    def measures(self, rows: Sequence[Any]) -> tuple[Measure, ...]:
        """As the task says."""
        return self.task.measures(rows)


def _task(decoder: DecoderModel, decoded: Sequence[Array], frame: Frame | None) -> Task:
    outputs = decoder.outputs(decoded)
    boxes = Suppressed.match(outputs, frame) if frame else None
    if boxes is not None:
        return Detection(boxes)
    if "class_map" in decoder.names:
        return Segmentation(decoder.names.index("class_map"), None, MOST_CODES)
    if "embedding" in decoder.names:
        return Embedding(decoder.names.index("embedding"))
    raise InvalidRecipe(
        f"decoder: it returns {', '.join(decoder.names)}.",
        hint="Let it return boxes (n, 4) with scores (n,) and labels (n,); or class_map (height, width); or embedding (d,).",
    )
