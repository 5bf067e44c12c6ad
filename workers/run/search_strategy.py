"""Looking for the hardest setting of a recipe that still keeps its promise.

Selection bisects on samples of its own. Verification then tests what selection found on other samples, from the mildest setting
on, and stops at the first that fails: tests in an order fixed beforehand need no correction for their number (fixed-sequence
testing; Angelopoulos et al., "Learn then test", 2021, section 3.2), so every verdict keeps its 95 %.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.recipe import RESOLUTION

PREFERRED = ("sparsity_level", "bits")  # which knob is turned, where steps offer several
AHEAD = 6  # levels that other workers may make meanwhile: both next ones, and the four after these

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The same recipe at every setting of one knob, from the mildest to the hardest."""

    knob: str
    settings: tuple[float, ...]
    recipes: tuple[Recipe, ...]
    first: int  # the recipe as it was given
    spare: tuple[int, ...] = ()  # levels, mildest first, to be judged before one that passed selection by little

    def spread(self, points: int) -> list[int]:
        """Evenly spaced levels, both ends among them."""
        return sorted({round(at) for at in np.linspace(0, len(self.settings) - 1, points)})


def build_ladder(recipe: Recipe, resolution: float | None = None) -> Ladder:
    """The ladder of a recipe. Raises InvalidRecipe where none of its steps can press more or less hard."""
    resolution = resolution or (recipe.search.resolution if recipe.search else RESOLUTION)
    found = {number: ladder for number, step in enumerate(recipe.steps) if (ladder := step.ladder(resolution))}
    for number, (knob, values) in sorted(found.items(), key=lambda item: PREFERRED.index(item[1][0])):
        recipes = tuple(_with(recipe, number, knob, value) for value in values)
        return Ladder(knob, tuple(map(float, values)), recipes, values.index(getattr(recipe.steps[number], knob)))
    raise InvalidRecipe(
        "search: no step of the recipe can press more or less hard.", hint="Add layerwise_pruning, or a method that has `bits`."
    )


def bisect(
    levels: int,
    first: int,
    keeps: Callable[[int], bool],
    more: Callable[[], bool],
    ahead: Callable[[int, int, int], None] = lambda low, level, high: None,
) -> tuple[int, int]:
    """The last level that keeps and the first that does not, -1 and `levels` where there is none.

    It goes as far as there is `more` time. Harder levels are taken to fail where a milder one has failed. `first` is
    tried first. `ahead` is told of each level before it is tried, with the levels between which it lies.
    """
    low, high, level = -1, levels, first
    while high - low > 1 and more():
        ahead(low, level, high)
        low, high = (level, high) if keeps(level) else (low, level)
        level = (low + high) // 2
    return low, high


def may_follow(low: int, level: int, high: int) -> list[int]:
    """The levels that `bisect` may try once it knows whether `level` keeps, AHEAD of them, the next ones first."""
    found: list[int] = []
    ways = deque([(low, level, high)])
    while ways and len(found) < AHEAD:
        low, level, high = ways.popleft()
        for near, far in ((level, high), (low, level)):
            if far - near > 1:
                found.append((near + far) // 2)
                ways.append((near, found[-1], far))
    return found


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


def _with(recipe: Recipe, number: int, knob: str, setting: float) -> Recipe:
    steps = list(recipe.steps)
    steps[number] = steps[number].model_copy(update={knob: setting})
    return recipe.model_copy(update={"steps": tuple(steps), "search": None, "pareto": None})
