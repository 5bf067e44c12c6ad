"""From a file and the short forms of the command line to a recipe."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.terminal.recipes import parse_shapes, read_recipe, short_steps
from workers.errors import InvalidRecipe
from workers.recipe.goals import DEFAULT_GOAL, GOALS

INQ = {"steps": [{"method": "inq"}]}


def written(folder: Path, document: Any) -> Path:
    (folder / "recipe.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return folder / "recipe.json"


def methods(recipe: Any) -> list[str]:
    return [step.method for step in recipe.steps]


@pytest.mark.parametrize(
    ("prune", "int8", "expected"),
    [
        (None, False, []),
        (0.5, False, [{"method": "layerwise_pruning", "sparsity_level": 0.5}]),
        (None, True, [{"method": "int8"}]),
        (0.5, True, [{"method": "layerwise_pruning", "sparsity_level": 0.5}, {"method": "int8"}]),
        (0.0, False, [{"method": "layerwise_pruning", "sparsity_level": 0.0}]),
    ],
)
def test_short_steps(prune: float | None, int8: bool, expected: list[dict[str, Any]]) -> None:
    assert short_steps(prune, int8) == expected


def test_without_anything_the_goal_is_the_default() -> None:
    recipe = read_recipe(None)
    assert recipe.goal == DEFAULT_GOAL
    assert methods(recipe) == [step["method"] for step in GOALS[DEFAULT_GOAL].recipe["steps"]]


def test_a_file_says_it_all(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, {**INQ, "seed": 7}))
    assert (methods(recipe), recipe.seed, recipe.goal) == (["inq"], 7, None)


def test_what_the_command_line_says_comes_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, {**INQ, "seed": 7, "task": "classification", "constraint": {"max_drop": 0.05, "metric": "top5"}})
    recipe = read_recipe(file, steps=short_steps(None, True), seed=0, task="detection", max_drop=0.01)
    assert (methods(recipe), recipe.seed, recipe.task) == (["int8"], 0, "detection")
    assert recipe.constraint is not None
    assert (recipe.constraint.max_drop, recipe.constraint.metric) == (0.01, "top5")


def test_shapes_are_added_to_those_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, {**INQ, "shapes": {"a": [1, 2], "b": [3]}})
    assert dict(read_recipe(file, shapes=["a[4,5]", "c[6]"]).shapes) == {"a": (4, 5), "b": (3,), "c": (6,)}


@pytest.mark.parametrize("text", [json.dumps(INQ), "\N{BYTE ORDER MARK}" + json.dumps(INQ), json.dumps(INQ, indent=4) + "\r\n"])
def test_a_file_from_any_editor_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.json").write_bytes(text.encode())
    assert methods(read_recipe(tmp_path / "recipe.json")) == ["inq"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{'steps': []}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds a list or a value"),
        ("7", "holds a list or a value"),
        ('{"stepz": []}', r"no such knob\. Did you mean `steps`"),
        ('{"steps": []}', "steps"),
        ('{"steps": [{"method": "inqq"}]}', "no method 'inqq'. Did you mean `inq`"),
    ],
)
def test_what_is_no_recipe_is_told_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidRecipe, match=words):
        read_recipe(written(tmp_path, text))


def test_bytes_that_are_no_text_are_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InvalidRecipe, match="is not JSON"):
        read_recipe(tmp_path / "recipe.json")


@pytest.mark.parametrize("part", ["constraint", "shapes"])
@pytest.mark.parametrize(("value", "fits"), [(None, True), ("x", False), ([1], False), (3, False)])
def test_what_is_added_to_must_be_an_object(tmp_path: Path, part: str, value: Any, fits: bool) -> None:
    file = written(tmp_path, {**INQ, part: value})
    added: dict[str, Any] = {"max_drop": 0.01} if part == "constraint" else {"shapes": ["x[1]"]}
    if fits:
        assert getattr(read_recipe(file, **added), part)
    else:
        with pytest.raises(InvalidRecipe, match=f"{part}: .*must be an object"):
            read_recipe(file, **added)


# goals


def test_a_goal_is_spelt_with_a_dash_or_a_line() -> None:
    assert read_recipe(None, goal="data-free").goal == read_recipe(None, goal="data_free").goal == "data_free"


def test_an_unknown_goal_names_the_close_one_and_all() -> None:
    with pytest.raises(InvalidRecipe, match="no goal 'sped'") as refused:
        read_recipe(None, goal="sped")
    assert "`speed`" in refused.value.hint
    assert all(name in refused.value.hint for name in GOALS)


def test_two_ways_to_say_how_are_one_too_many() -> None:
    with pytest.raises(InvalidRecipe, match="both say how"):
        read_recipe(None, goal="speed", steps=short_steps(None, True))


# knobs


@pytest.mark.parametrize(
    ("knob", "found"),
    [
        ("calibration.count=300", lambda recipe: recipe.calibration.count == 300),
        ("seed=3", lambda recipe: recipe.seed == 3),
        ("preprocessing.scale_values=[255]", lambda recipe: recipe.preprocessing.scale_values == (255,)),
        ("preprocessing.color_order=BGR", lambda recipe: recipe.preprocessing.color_order == "BGR"),
        ('preprocessing.color_order="BGR"', lambda recipe: recipe.preprocessing.color_order == "BGR"),
        ("steps.0.bits=3", lambda recipe: recipe.steps[0].bits == 3),
        ("steps.-1.bits=3", lambda recipe: recipe.steps[-1].bits == 3),
        ("check_original=false", lambda recipe: recipe.check_original is False),
    ],
)
def test_any_knob_is_set(knob: str, found: Any) -> None:
    assert found(read_recipe(None, steps=INQ["steps"], knobs=[knob]))


def test_a_later_knob_wins() -> None:
    assert read_recipe(None, steps=INQ["steps"], knobs=["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize("knob", ["seed", "", "steps.7.bits=3", "steps.first.bits=3", "seed.deep=3", "steps=3=4"])
def test_a_knob_that_leads_nowhere_is_quoted(knob: str) -> None:
    with pytest.raises(InvalidRecipe) as refused:
        read_recipe(None, steps=INQ["steps"], knobs=["seed=1", knob])
    assert repr(knob) in refused.value.message or "steps" in refused.value.message


def test_goals_are_not_changed_by_knobs() -> None:
    before = json.dumps(GOALS["size"].recipe)
    read_recipe(None, goal="size", knobs=["steps.0.bits=3"])
    assert json.dumps(GOALS["size"].recipe) == before


# shapes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input[1,3,224,224]", ("input", [1, 3, 224, 224])),
        ("  input [ 1 , 3 ]  ", ("input ", [1, 3])),
        ("[1,3]", ("", [1, 3])),
        ("a[0][7]", ("a[0]", [7])),
        ("größe:0[2]", ("größe:0", [2])),
        ("two\nlines[2]", ("two\nlines", [2])),
    ],
)
def test_shapes_are_read(text: str, expected: tuple[str, list[int]]) -> None:
    assert parse_shapes([text]) == dict([expected])


@pytest.mark.parametrize(
    "text", ["input", "input[]", "input[1,]", "input[-1,3]", "input[a]", "input[1,3", "x[1.5]", "x[" + "9" * 5000 + "]"]
)
def test_what_is_no_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRecipe, match="is not a shape") as refused:
        parse_shapes([text])
    assert "input[1,3,224,224]" in refused.value.hint
