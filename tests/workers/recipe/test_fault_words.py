"""Faults of recipes in words that help."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.faults import deepest_faults, did_you_mean, in_words, knobs_of
from workers.recipe.recipe import parse_recipe


def places(*given: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [tuple(fault["loc"]) for fault in deepest_faults([{"loc": place} for place in given])]


def test_a_list_is_not_blamed_for_its_item() -> None:
    assert places(("steps",), ("steps", 0, "bits"), ("seed",)) == [("steps", 0, "bits"), ("seed",)]
    assert places(("steps", 0), ("steps", 1)) == [("steps", 0), ("steps", 1)]
    assert places((), ("steps",)) == [("steps",)]
    assert places() == []


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=3).map(tuple), max_size=6))
def test_what_is_left_is_inside_nothing_else_and_covers_everything(given_places: list[tuple[str, ...]]) -> None:
    left = places(*given_places)
    assert not any(a != b and b[: len(a)] == a for a in left for b in left)
    assert all(any(kept[: len(place)] == place for kept in left) for place in given_places)


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("sparsity", ["sparsity_level", "bits"], "Did you mean `sparsity_level`? "),
        ("bit", ["sparsity_level", "bits"], "Did you mean `bits`? "),
        ("zzz", ["sparsity_level", "bits"], ""),
        ("", ["bits"], ""),
        ("bits", [], ""),
    ],
)
def test_what_may_be_meant(word: str, known: list[str], text: str) -> None:
    assert did_you_mean(word, known) == text


def test_knobs_of_all_parts_are_known() -> None:
    assert {"steps", "bits", "sparsity_level", "max_drop", "mean_values", "ignored_scope"} <= knobs_of(
        Recipe.model_json_schema()
    )


def test_a_fault_of_the_whole_names_the_recipe() -> None:
    assert in_words({"loc": (), "msg": "is wrong ", "type": "x"}, {}) == "recipe: is wrong"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, ["recipe: "]),
        ([], ["recipe: "]),
        ({"steps": [{"method": "inq", "bitz": 3}]}, ["bitz: there is no such knob. Did you mean `bits`?"]),
        (
            {"steps": [{"method": "layerwise_prunning"}]},
            ["no method 'layerwise_prunning'", "Did you mean `layerwise_pruning`?"],
        ),
        ({"steps": [{"bits": 3}]}, ["steps.0: "]),
        ({"steps": [{"method": "inq", "bits": "many"}]}, ["bits: "]),
        ({"steps": [{"method": "inq"}], "seed": -1, "calibration": {"count": 0}}, ["seed: ", "calibration.count: "]),
        ({"steps": [{"method": "inq"}], "constraint": {"max_drop": 2}}, ["constraint: ", "at most 1"]),
        ({"steps": [{"method": "inq"}], "constraint": {"max_drop": float("nan")}}, ["constraint.max_drop: "]),
        ({"steps": [{"method": "int8"}, {"method": "inq"}]}, ["int8"]),
        (
            {"steps": [{"method": "inq"}], "preprocessing": {"mean_values": 80, "scale_values": "96"}},
            ["mean_values: give a list, such as [80]", "scale_values: give a list"],
        ),
    ],
)
def test_every_fault_is_told_with_its_place(document: Any, words: list[str]) -> None:
    with pytest.raises(InvalidRecipe, match="The recipe is not valid") as refused:
        parse_recipe(document)
    for word in words:
        assert word in refused.value.message
    assert "\n" not in refused.value.message


def test_a_knob_is_sought_among_those_of_its_method() -> None:
    schema = Recipe.model_json_schema()
    fault = {"loc": ("steps", 0, "int8", "sparsity"), "msg": "", "type": "extra_forbidden"}
    assert in_words(fault, schema) == "steps.0.int8.sparsity: there is no such knob"
    assert "`sparsity_level`?" in in_words({**fault, "loc": ("steps", 0, "layerwise_pruning", "sparsity")}, schema)
