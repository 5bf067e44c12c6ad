"""Recipes in a few words."""

from typing import Any

import pytest

from workers.recipe.recipe import parse_recipe
from workers.recipe.title import recipe_title

PRUNE = {"method": "layerwise_pruning", "sparsity_level": 0.7}


@pytest.mark.parametrize(
    ("document", "title"),
    [
        ({"steps": [PRUNE]}, "prune 70 %"),
        ({"steps": [PRUNE, {"method": "int8"}]}, "prune 70 %, then int8"),
        ({"steps": [{"method": "inq", "bits": 5}, {"method": "finetune"}]}, "inq 5 bits, then finetune"),
        ({"steps": [PRUNE], "pareto": {"points": 6}}, "prune 70 %, front of 6"),
        ({"goal": "limit"}, "uniform 4 bits, within 1 point"),
        (
            {"steps": [PRUNE], "search": {}, "constraint": {"max_drop": 0.02, "drop_type": "relative"}},
            "prune 70 %, within 2 %",
        ),
    ],
)
def test_a_recipe_is_told_in_a_few_words(document: dict[str, Any], title: str) -> None:
    assert recipe_title(parse_recipe(document)) == title
