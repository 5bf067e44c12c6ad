"""What one may want of a compression, each spelt as a recipe; a recipe that names a goal takes from here what it leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

GoalName = Literal["speed", "size", "limit", "data_free"]
DEFAULT_GOAL: GoalName = "speed"  # where nothing says how to compress


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal in words, and the recipe that was found best for it (docs/choosing.md has the measurements)."""

    title: str
    meaning: str
    price: str  # what it costs, or needs
    recipe: Mapping[str, Any] = field(repr=False)
    needs_evaluation: bool = False


GOALS: dict[GoalName, Goal] = {
    "speed": Goal(
        "Faster",
        "Weights and activations become 8-bit integers, which processors multiply several times as fast.",
        "Files are about 4 times smaller, too. Answers change least when data of your own calibrates.",
        {"steps": ({"method": "int8"},)},
    ),
    "size": Goal(
        "Smaller",
        "Weights become 4-bit integers, chosen so that every layer's output stays what it was.",
        "Files are about 8 times smaller. Inference is as fast as before.",
        {"steps": ({"method": "uniform", "bits": 4},)},
    ),
    "limit": Goal(
        "Within my limit",
        "As few bits as the accuracy that you can spare allows: models are made and judged until the limit just holds.",
        "Needs evaluation data, and several times the time. The limit is 1 point unless you set another.",
        {"steps": ({"method": "uniform", "bits": 4},), "constraint": {"max_drop": 0.01}, "search": {}},
        needs_evaluation=True,
    ),
    "data_free": Goal(
        "No data",
        "Weights alone become 8-bit integers: nothing has to be known about your data.",
        "Files are about 4 times smaller, answers nearly all the same. Inference is as fast as before.",
        {"steps": ({"method": "uniform", "bits": 8},), "calibration": {"source": "fractals", "inversion_steps": 0}},
    ),
}


def with_goal(document: Any) -> Any:
    """The recipe as it was written, completed by the goal that it names; what is no goal is left for the validation."""
    wanted = document.get("goal") if isinstance(document, Mapping) else None
    if wanted not in tuple(GOALS):
        return document
    goal = GOALS[wanted]
    given = {name: _joined(goal.recipe[name], document[name]) for name in goal.recipe if name in document}
    return {**document, **goal.recipe, **given}


def _joined(of_goal: Any, given: Any) -> Any:
    """A block of the recipe: what it sets goes before what the goal sets. Steps are taken whole."""
    return {**of_goal, **given} if isinstance(of_goal, Mapping) and isinstance(given, Mapping) else given
