"""What a job took for granted, in one sentence."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workers.calibration.preprocessing import image_input
from workers.ir.reading.inputs import Input
from workers.recipe import Preprocessing
from workers.recipe.recipe import parse_recipe
from workers.run.reporting.assumptions import assumed


def entry(source: tuple[int, ...], *, batch_axis: int | None = 0, name: str = "x") -> Input:
    shape = (1, *(length if length > 0 else 8 for length in source[1:]))
    return Input(name, (name,), shape, np.dtype(np.float32), "NCHW" if len(shape) == 4 else None, batch_axis, source, None)


def said(*inputs: Input, notes: tuple[str, ...] = (), found: str | None = None, **recipe: Any) -> str | None:
    imported: Any = SimpleNamespace(inputs=inputs)
    samples: Any = SimpleNamespace(notes=notes)
    return assumed(parse_recipe({"steps": [{"method": "inq"}]} | recipe), imported, samples, found)


def test_where_nothing_was_assumed_nothing_is_said() -> None:
    assert said(entry((1, 3, 8, 8))) is None
    assert said(entry((1, 3, 8, 8)), notes=("Another note.",)) is None


def test_preprocessing_is_told_once_in_the_words_of_its_note() -> None:
    found = image_input(entry((1, 3, 8, 8)), Preprocessing())
    assert found is not None
    text = said(entry((1, 3, 8, 8)), notes=found[1] * 2)
    assert text == "Assumed: pixels are scaled by the mean and standard deviation of ImageNet. The recipe can say otherwise."


@pytest.mark.parametrize(
    ("source", "batch_axis", "recipe", "words"),
    [
        ((-1, 3, 8, 8), 0, {}, "the first axis of 'x' counts samples"),
        ((4, 3, 8, 8), 0, {}, "the first axis of 'x' counts samples"),
        ((-1, 3, 8, 8), None, {}, "one sample at a time is put into 'x'"),
        ((-1, 3, 8, 8), 0, {"batch": {"x": 0}}, None),
        ((-1, 3, 8, 8), None, {"batch": {"x": None}}, None),
        ((1, 3, -1, 8), 0, {}, "'x' is 1 x 3 x 8 x 8"),
        ((1, 3, -1, 8), 0, {"shapes": {"x": [1, 3, 8, 8]}}, None),
        ((1, 3, -1, 8), 0, {"shapes": {"": [1, 3, 8, 8]}}, None),
        ((1, 3, -1, 8), 0, {"shapes": {"y": [1]}}, "'x' is 1 x 3 x 8 x 8"),
    ],
)
def test_batches_and_shapes(source: tuple[int, ...], batch_axis: int | None, recipe: Any, words: str | None) -> None:
    text = said(entry(source, batch_axis=batch_axis), **recipe)
    assert text is None if words is None else text is not None and words in text


@pytest.mark.parametrize(
    ("task", "recipe", "told"),
    [
        ("text_lines", {}, True),
        (None, {}, False),
        ("detection", {"task": "detection"}, False),
        ("detection", {"decoder": "yolov8"}, False),
    ],
)
def test_the_task_is_told_where_the_recipe_does_not(task: str | None, recipe: Any, told: bool) -> None:
    text = said(entry((1, 3, 8, 8)), found=task, **recipe)
    assert (text is not None) == told
    if text is not None:
        assert "the task is text lines" in text


def test_several_assumptions_are_one_sentence() -> None:
    text = said(entry((-1, -1), name="ids"), entry((-1, 4), name="mask"), found="other")
    assert text is not None
    assert text.count("Assumed") == 1
    assert text.count("; ") == 3
