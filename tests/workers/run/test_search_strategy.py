from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import InvalidRecipe
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.recipe import Recipe
from workers.run.search_strategy import bends, bisect, build_ladder, last_kept, on_front

PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.62}


@given(st.integers(1, 60), st.data())
def test_bisection_finds_the_border_from_wherever_it_starts(levels: Any, data: Any) -> None:
    first = data.draw(st.integers(0, levels - 1))
    kept = data.draw(st.integers(0, levels))
    tried = []

    def keeps(level: Any) -> Any:
        tried.append(level)
        return level < kept

    assert bisect(levels, first, keeps, lambda: True) == (kept - 1, kept)
    assert tried[0] == first
    assert len(tried) == len(set(tried)) <= 8


def test_bisection_stops_when_time_is_up() -> None:
    tried = []

    def keeps(level: Any) -> Any:
        tried.append(level)
        return True

    assert bisect(100, 10, keeps, lambda: len(tried) < 3) == (tried[-1], 100)
    assert len(tried) == 3


def test_verification_stops_at_the_first_failure() -> None:
    tested = []

    def verified(number: Any) -> Any:
        tested.append(number)
        return number not in (3, 5)

    assert last_kept([1, 2, 3, 4, 5], verified) == 2
    assert tested == [1, 2, 3]
    assert last_kept([3, 4], verified) == 3


def test_a_ladder_varies_sparsity_and_holds_the_recipe_itself() -> None:
    recipe = Recipe.model_validate(
        {"steps": [PRUNING, {"method": "int8"}], "constraint": {"max_drop": 0.02}, "search": {"resolution": 0.1}}
    )
    ladder = build_ladder(recipe, 0.1)
    levels = [pruning.sparsity_level for level in ladder.recipes if isinstance(pruning := level.steps[0], LayerwisePruning)]
    assert levels == sorted(levels) == list(ladder.settings)
    assert levels[ladder.first] == 0.62
    assert all(level.search is None and level.steps[1] == recipe.steps[1] for level in ladder.recipes)
    assert levels[-1] == 0.95
    assert (ladder.spread(3)[0], ladder.spread(3)[-1]) == (0, len(levels) - 1)


@pytest.mark.parametrize(("method", "bits"), [("uniform", [8, 7, 6, 5, 4, 3, 2]), ("inq", [5, 4, 3, 2])])
def test_without_pruning_bits_are_varied(method: str, bits: list[int]) -> None:
    assert list(build_ladder(Recipe.model_validate({"steps": [{"method": method}]}), 0.1).settings) == bits


def test_a_recipe_without_a_knob_is_refused() -> None:
    with pytest.raises(InvalidRecipe, match="press"):
        build_ladder(Recipe.model_validate({"steps": [{"method": "weight_compression"}]}), 0.1)


def test_a_search_must_know_what_it_looks_for() -> None:
    with pytest.raises(ValueError, match="needs a `constraint`"):
        Recipe.model_validate({"steps": [PRUNING], "search": {}})


def test_the_front_holds_what_nothing_beats() -> None:
    assert on_front([(1, 3), (2, 2), (3, 1), (3, 3), (2, 2)]) == [True, True, True, False, True]


def test_points_lie_where_the_curve_bends() -> None:
    knee = [(float(level), 0.0 if level <= 70 else (level - 70) / 30) for level in range(101)]
    assert bends(knee, 3) == [0, 70, 100]
    steps = [(float(level), float(level > 20) + float(level > 60)) for level in range(101)]
    assert {20, 21, 60, 61} <= set(bends(steps, 6))


def test_points_of_a_straight_curve_are_evenly_spaced() -> None:
    assert bends([(float(level), 2.0 * level) for level in range(9)], 5) == [0, 2, 4, 6, 8]
    assert bends([(3.0, 0.0)] * 5, 3) == [0, 2, 4]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=40), st.integers(2, 20))
def test_points_are_as_many_as_there_can_be_and_hold_both_ends(curve: list[tuple[float, float]], points: int) -> None:
    found = bends(curve, points)
    assert found == sorted(set(found))
    assert len(found) == min(points, len(curve))
    assert {0, len(curve) - 1} <= set(found)


def test_a_ladder_goes_by_its_curve_where_it_has_one() -> None:
    recipe = Recipe.model_validate({"steps": [{"method": "uniform"}]})
    ladder = build_ladder(recipe, 0.1)
    assert ladder.spread(3) == [0, 3, 6]
    harms = tuple((setting, 0.0 if setting > 3 else 1.0 / setting) for setting in ladder.settings)
    assert replace(ladder, curve=harms).spread(3) == [0, 4, 6], "8, 4 and 2 bits"
