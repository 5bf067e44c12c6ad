"""Looking for the hardest setting of a recipe that still keeps its promise.

Selection bisects on samples of its own. Verification then tests what selection found on other samples, from the mildest setting
on, and stops at the first that fails: tests in an order fixed beforehand need no correction for their number (fixed-sequence
testing; Angelopoulos et al., "Learn then test", 2021, section 3.2), so every verdict keeps its 95 %.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.recipe import RESOLUTION

PREFERRED = ("sparsity_level", "bits")  # which knob is turned, where steps offer several
STRAIGHT = 1e-6  # of the whole range: what lies nearer to a line lies on it
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
    curve: tuple[tuple[float, float], ...] = ()  # what each level is foreseen to save and to harm, where that is known

    def spread(self, points: int) -> list[int]:
        """Levels for so many points, both ends among them: where the curve bends, or evenly spaced where none is known."""
        if self.curve:
            return bends(self.curve, points)
        return sorted({round(at) for at in np.linspace(0, len(self.settings) - 1, points)})


def bends(curve: Sequence[tuple[float, float]], points: int) -> list[int]:
    """The places of `curve`, at most so many, between which straight lines follow it best; both ends are among them.

    Each is the one farthest from the lines so far (Ramer 1972; Douglas and Peucker 1973), both axes from 0 to 1; where
    the lines already hold all, the middle of the widest gap.
    """
    values = np.asarray(curve, np.float64)
    values = (values - values.min(axis=0)) / np.maximum(np.ptp(values, axis=0), np.finfo(float).tiny)
    chosen = sorted({0, len(values) - 1})
    while len(chosen) < min(points, len(values)):
        apart = np.concatenate([_from_chord(values[a : b + 1])[1:] for a, b in pairwise(chosen)])
        widest = max(pairwise(chosen), key=lambda ends: ends[1] - ends[0])
        place = int(apart.argmax()) + 1 if apart.max() > STRAIGHT else sum(widest) // 2
        chosen = sorted({*chosen, place})
    return chosen


def _from_chord(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distances of points (n, 2) from the line through the first and the last."""
    along = values[-1] - values[0]
    length = float(np.hypot(*along))
    away = values - values[0]
    distance: NDArray[np.float64] = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0])
    return distance / length if length else np.hypot(*away.T)


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
