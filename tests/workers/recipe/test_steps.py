"""Which steps may follow one another."""

from typing import Any

import pytest
from pydantic import ValidationError

from workers.methods import METHODS
from workers.methods.problem import Method
from workers.recipe import Recipe

FOLLOWED = [method for method in METHODS if issubclass(method, Method)]


NEEDED = {"layerwise_pruning": {"sparsity_level": 0.5}}


def recipe(*names: str) -> Recipe:
    return Recipe.model_validate({"steps": [{"method": name, **NEEDED.get(name, {})} for name in names]})


def name_of(method: Any) -> str:
    return str(method.model_fields["method"].default)


@pytest.mark.parametrize("method", FOLLOWED, ids=name_of)
def test_a_training_follows_the_sets_that_it_knows(method: type[Method], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(recipe(name_of(method), "finetune").steps) == 2
    monkeypatch.setattr(method, "family", None)
    with pytest.raises(ValidationError, match=f"finetune cannot follow {name_of(method)}"):
        recipe(name_of(method), "finetune")


CLOSING = [name_of(step) for step in METHODS if step.closes]


@pytest.mark.parametrize("last", CLOSING)
def test_nothing_follows_a_step_that_closes(last: str) -> None:
    assert len(recipe("layerwise_pruning", last).steps) == 2
    with pytest.raises(ValidationError, match=f"{last} must be the last step, uniform cannot follow it"):
        recipe(last, "uniform")


def test_a_network_is_enlarged_before_anything_else() -> None:
    assert recipe("super_network", "ec2t").steps[0].opens
    with pytest.raises(ValidationError, match="super_network must be the first step, ec2t cannot stand before it"):
        recipe("ec2t", "super_network")
