"""Looking for the hardest setting of a recipe that still keeps its promise.

Selection bisects on samples of its own. Verification then tests what selection found on other samples, from the mildest setting
on, and stops at the first that fails: tests in an order fixed beforehand need no correction for their number (fixed-sequence
testing; Angelopoulos et al., "Learn then test", 2021, section 3.2), so every verdict keeps its 95 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from workers.errors import InvalidRecipe
from workers.methods.problem import Step
from workers.recipe import Recipe

MILDEST, HARDEST = 0.1, 0.95  # sparsity levels
FIXED = ("2:4", "4:8")  # patterns that are one level of sparsity
VARIED = ("sparsity_level", "bits")  # knobs, the first that a step of the recipe has

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The same recipe at every setting of one knob, from the mildest to the hardest."""

    knob: str
    settings: tuple[float, ...]
    recipes: tuple[Recipe, ...]
    first: int  # the recipe as it was given

    def spread(self, points: int) -> list[int]:
        """Evenly spaced levels, both ends among them."""
        return sorted({round(at) for at in np.linspace(0, len(self.settings) - 1, points)})


def build_ladder(recipe: Recipe, resolution: float) -> Ladder:
    """The ladder of a recipe. Raises InvalidRecipe where none of its steps can press more or less hard."""
    for knob in VARIED:
        for number, step in enumerate(recipe.steps):
            if knob in type(step).model_fields and getattr(step, "pattern", None) not in FIXED:
                given = getattr(step, knob)
                settings = _levels(given, resolution) if knob == "sparsity_level" else _bits(step)
                recipes = tuple(_with(recipe, number, knob, setting) for setting in settings)
                return Ladder(knob, tuple(map(float, settings)), recipes, settings.index(given))
    raise InvalidRecipe(
        "search: no step of the recipe can press more or less hard.", hint="Add layerwise_pruning, or a method that has `bits`."
    )


def bisect(levels: int, first: int, keeps: Callable[[int], bool], more: Callable[[], bool]) -> tuple[int, int]:
    """The last level that keeps and the first that does not, -1 and `levels` where there is none.

    It goes as far as there is `more` time. Harder levels are taken to fail where a milder one has failed. `first` is
    tried first.
    """
    low, high, level = -1, levels, first
    while high - low > 1 and more():
        low, high = (level, high) if keeps(level) else (low, level)
        level = (low + high) // 2
    return low, high


def last_kept(candidates: Sequence[T], verified: Callable[[T], bool]) -> T:
    """Test candidates in their order up to the first that fails: the last that is verified; the first where none is."""
    best = candidates[0]
    for candidate in candidates:
        if not verified(candidate):
            break
        best = candidate
    return best


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point is at least as low in both coordinates and lower in one."""
    return [not any(_beats(other, point) for other in points) for point in points]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one != other


def _levels(given: float, resolution: float) -> list[float]:
    steps = np.arange(MILDEST, HARDEST + resolution / 2, resolution)
    others = {round(float(level), 4) for level in (*steps, HARDEST)}
    return sorted({given, *(level for level in others if level <= HARDEST and abs(level - given) > resolution / 4)})


def _bits(step: Step) -> list[int]:
    """The numbers of bits that a method takes, many to few."""
    schema: dict[str, Any] = type(step).model_json_schema()["properties"]["bits"]
    values = schema.get("enum") or range(schema["minimum"], schema["maximum"] + 1)
    return sorted(values, reverse=True)


def _with(recipe: Recipe, number: int, knob: str, setting: float) -> Recipe:
    steps = list(recipe.steps)
    steps[number] = steps[number].model_copy(update={knob: setting})
    return recipe.model_copy(update={"steps": tuple(steps), "search": None, "pareto": None})
