"""Goals complete recipes, and are told of in what is stored."""

import pytest

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.goals import GOALS
from workers.recipe.recipe import parse_recipe


@pytest.mark.parametrize("name", GOALS)
def test_a_goal_is_a_recipe(name: str) -> None:
    recipe = parse_recipe({"goal": name})
    assert recipe.goal == name
    assert [step.method for step in recipe.steps] == [step["method"] for step in GOALS[recipe.goal].recipe["steps"]]


@pytest.mark.parametrize("name", GOALS)
def test_a_recipe_with_a_goal_comes_back_from_what_is_stored_and_from_its_short_form(name: str) -> None:
    recipe = parse_recipe({"goal": name})
    assert parse_recipe(recipe.model_dump(mode="json", by_alias=True)) == recipe
    assert parse_recipe(recipe.brief()) == recipe


def test_the_chosen_recipe_of_a_search_stays_without_one() -> None:
    chosen = parse_recipe({"goal": "limit"}).model_copy(update={"search": None})
    assert parse_recipe(chosen.brief()) == chosen


def test_what_the_recipe_says_goes_before_its_goal() -> None:
    recipe = parse_recipe({"goal": "limit", "steps": [{"method": "inq"}], "constraint": {"metric": "agreement"}, "seed": 3})
    assert [step.method for step in recipe.steps] == ["inq"]
    assert recipe.constraint is not None
    assert (recipe.constraint.metric, recipe.constraint.max_drop, recipe.seed) == ("agreement", 0.01, 3)
    assert recipe.search is not None
    assert parse_recipe({"goal": "limit", "search": None}).search is None


@pytest.mark.parametrize(
    "document", [{}, {"goal": None}, {"goal": "fast"}, {"goal": []}, {"goal": "speed", "steps": []}, [], 7]
)
def test_without_steps_there_is_no_recipe(document: object) -> None:
    with pytest.raises(InvalidRecipe):
        parse_recipe(document)


@pytest.mark.parametrize(
    ("name", "data", "evaluation", "refused"),
    [
        ("speed", False, False, False),
        ("speed", True, True, False),
        ("limit", True, False, True),
        ("limit", False, True, False),
        ("data_free", True, True, True),
        ("data_free", False, False, False),
    ],
)
def test_samples_that_a_goal_needs_or_would_not_look_at(name: str, data: bool, evaluation: bool, refused: bool) -> None:
    recipe = parse_recipe({"goal": name})
    if not refused:
        recipe.check_data(data=data, evaluation=evaluation)
        return
    with pytest.raises(InvalidRecipe):
        recipe.check_data(data=data, evaluation=evaluation)


def test_the_schema_asks_for_neither_steps_nor_a_goal() -> None:
    assert "required" not in Recipe.model_json_schema()
