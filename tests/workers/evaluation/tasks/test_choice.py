"""Which task a model is taken to have."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest

from workers.annotations import TargetKind
from workers.errors import InvalidRecipe
from workers.evaluation.decoders import Frame, Output
from workers.evaluation.tasks.choice import BY_LABELS, MAKERS, Seen, TaskRequest, choose_task
from workers.evaluation.tasks.classification import Classification
from workers.evaluation.tasks.detection import Detection
from workers.evaluation.tasks.image import Image
from workers.evaluation.tasks.segmentation import Segmentation
from workers.recipe.recipe import TaskName
from workers.statistics.decisions import read

FRAME = Frame(64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
RNG = np.random.default_rng(0)


def seen(*outputs: tuple[str, Any], frame: Frame | None = FRAME, activations: Sequence[Any] = ()) -> Seen:
    """Outputs by name: a shape is filled with noise, an array is taken as it is."""
    described, readings, values = [], [], []
    for (name, given), activation in zip(outputs, [*activations, *[None] * len(outputs)], strict=False):
        value = given if isinstance(given, np.ndarray) else RNG.normal(size=given).astype(np.float32)
        integers = bool(np.issubdtype(value.dtype, np.integer)) and value.dtype.itemsize > 1
        described.append(Output(name, value.shape, activation, integers))
        readings.append(read(name, value[None], activation))
        values.append(value[None])
    return Seen(described, readings, values, frame)


def codes(*shape: int) -> Any:
    return np.zeros(shape, np.int64)


@pytest.mark.parametrize(
    ("outputs", "task"),
    [
        ([("logits", (1000,))], "classification"),
        ([("logits", (1000, 1, 1))], "classification"),
        ([("output0", (84, CELLS))], "detection"),
        ([("out", (21, 64, 96))], "segmentation"),
        ([("out", codes(64, 96))], "segmentation"),
        ([("out", codes(1, 64, 96))], "segmentation"),
        ([("out", (3, 64, 96))], "image"),
        ([("out", (64, 96, 3))], "image"),
        ([("out", (3, 128, 192))], "image"),
        ([("pooler_output", (1, 768, 2))], "other"),
        ([("sentence_embedding", (384,))], "embedding"),
        ([("age", (1,))], "regression"),
    ],
)
def test_outputs_tell_the_task(outputs: list[tuple[str, Any]], task: str) -> None:
    assert choose_task(seen(*outputs), TaskRequest(), None).name == task


def test_a_softmax_is_a_classifier_and_a_wide_sigmoid_answers_several_questions() -> None:
    assert choose_task(seen(("x", (8,)), activations=["softmax"]), TaskRequest(), None).name == "classification"
    assert choose_task(seen(("x", (8,)), activations=["sigmoid"]), TaskRequest(), None).name == "multilabel"
    assert choose_task(seen(("x", (1,)), activations=["sigmoid"]), TaskRequest(), None).name == "classification"


def test_a_narrow_picture_with_steps_of_characters_is_a_line_of_text() -> None:
    line = Frame(32, 320)
    assert choose_task(seen(("out", (40, 97)), frame=line), TaskRequest(), None).name == "text_lines"
    assert choose_task(seen(("out", (40, 97)), frame=Frame(320, 320)), TaskRequest(), None).name == "other"


def test_without_pictures_nothing_is_detected_and_no_picture_made() -> None:
    assert choose_task(seen(("output0", (84, CELLS)), frame=None), TaskRequest(), None).name == "other"
    assert choose_task(seen(("out", (3, 64, 96)), frame=None), TaskRequest(), None).name not in ("image", "detection")


def test_labels_say_more_than_outputs() -> None:
    assert choose_task(seen(("logits", (10,))), TaskRequest(), TargetKind.LABELS).name == "multilabel"
    assert choose_task(seen(("logits", (10,))), TaskRequest(), TargetKind.VALUES).name == "regression"
    assert choose_task(seen(("out", (3, 64, 96))), TaskRequest(), TargetKind.MAP).name == "segmentation"
    assert choose_task(seen(("logits", (10,))), TaskRequest(), TargetKind.CLASS).name == "classification"


def test_the_recipe_says_more_than_labels() -> None:
    assert choose_task(seen(("logits", (10,))), TaskRequest(task="embedding"), TargetKind.LABELS).name == "embedding"


def test_a_decoder_means_detection() -> None:
    task = choose_task(seen(("output0", (300, 6))), TaskRequest(decoder="yolov10"), None)
    assert isinstance(task, Detection)
    assert task.decoder.name == "yolov10"
    with pytest.raises(InvalidRecipe, match="'yolov8' does not fit"):
        choose_task(seen(("output0", (300, 6))), TaskRequest(decoder="yolov8"), None)


@pytest.mark.parametrize(
    ("asked", "outputs"),
    [
        (TaskRequest(task="detection"), [("logits", (1000,))]),
        (TaskRequest(task="segmentation"), [("logits", (1000,))]),
        (TaskRequest(task="image"), [("logits", (1000,))]),
        (TaskRequest(task="text_lines"), [("logits", (1000,))]),
        (TaskRequest(task="classification"), [("tokens", (197, 192))]),
        (TaskRequest(task="multilabel"), [("tokens", (197, 192))]),
        (TaskRequest(task="embedding"), [("ids", codes(7))]),
    ],
)
def test_a_task_that_outputs_cannot_have_is_refused(asked: TaskRequest, outputs: list[tuple[str, Any]]) -> None:
    with pytest.raises(InvalidRecipe, match=f"no {asked.task} can be read off") as refused:
        choose_task(seen(*outputs), asked, None)
    assert outputs[0][0] in refused.value.message


def test_labels_that_outputs_cannot_answer_are_refused() -> None:
    with pytest.raises(InvalidRecipe, match="no detection"):
        choose_task(seen(("logits", (1000,))), TaskRequest(), TargetKind.BOXES)


def test_a_classifier_is_read_from_the_output_that_decides() -> None:
    task = choose_task(seen(("features", (64,)), ("logits", (10,))), TaskRequest(task="classification"), None)
    assert isinstance(task, Classification)
    assert (task.output, task.classes) == (1, 10)


@pytest.mark.parametrize(
    ("shape", "axis", "classes"),
    [((21, 64, 96), 0, 21), ((64, 96, 21), 2, 21), ((2, 64, 96), 0, 2)],
)
def test_the_axis_of_the_classes_of_a_map(shape: tuple[int, ...], axis: int, classes: int) -> None:
    task = choose_task(seen(("segmentation", shape)), TaskRequest(), None)
    assert isinstance(task, Segmentation)
    assert (task.class_axis, task.classes) == (axis, classes)


def test_one_channel_by_a_sigmoid_is_a_map_of_two_classes() -> None:
    task = choose_task(seen(("mask", (1, 64, 96)), activations=["sigmoid"]), TaskRequest(), None)
    assert isinstance(task, Segmentation)
    assert (task.class_axis, task.classes) == (0, 2)
    probability = np.zeros((1, 1, 64, 96))
    probability[..., :3] = 0.7
    assert task.class_maps([probability]).sum() == 64 * 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 0.9), (0, 1)),
        ((-0.1, 1.2), (0, 1)),
        ((0.0, 0.0), (0, 1)),
        ((-0.9, 1.0), (-1, 1)),
        ((-8.0, 200.0), (0, 255)),
        ((-2.0, 2.6), (-2.0, 2.6)),  # pixels by mean and deviation
        ((-3.0, -3.0), (-3.0, -2.0)),
        ((np.nan, np.inf), (0, 1)),
    ],
)
def test_black_and_white_are_told_by_the_values(values: tuple[float, float], expected: tuple[float, float]) -> None:
    picture = np.full((3, 64, 96), values[0])
    picture[:, 0] = values[1]
    task = choose_task(seen(("out", picture)), TaskRequest(task="image"), None)
    assert isinstance(task, Image)
    assert (task.black, task.white) == expected


def test_a_picture_of_other_channels_or_a_smaller_one_is_no_image() -> None:
    for shape in ((1, 64, 96), (3, 32, 48), (3, 64, 64)):
        with pytest.raises(InvalidRecipe, match="no image"):
            choose_task(seen(("out", shape)), TaskRequest(task="image"), None)


def test_the_most_telling_output_is_the_headline() -> None:
    assert seen(("values", (3, 5)), ("logits", (10,)), ("boxes", (7, 4))).headline == 1
    assert seen(("values", (3, 5))).headline == 0


def test_recipes_know_every_task_and_labels_lead_to_known_ones() -> None:
    assert set(MAKERS) == set(get_args(TaskName))
    assert set(BY_LABELS.values()) <= set(MAKERS)
