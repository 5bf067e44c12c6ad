"""int8 within a limit: which operations go back to floating point, those first that harm most for what they save.

The whole model is quantised once. One set of statistics tells what each operation harms and what it saves; the candidates are
the same model with more and more operations taken back, in that order.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from workers.errors import InvalidRecipe
from workers.evaluation.benchmark import operation_savings
from workers.ir.graph.layers import find_layers
from workers.methods.int8 import Int8
from workers.passes.reversion import operation_harms
from workers.recipe import BenchmarkSettings, Recipe
from workers.report.schema import OperationHarm
from workers.run.candidates import Candidate, CandidateFactory
from workers.run.search_strategy import Ladder

ORDER = "order.json"
ADAPTER = TypeAdapter(tuple[OperationHarm, ...])
KNOB = "operations in floating point"
FLOOR = 0.02  # of the mean saving: what takes no time saves next to nothing, and measurements of it are noise
FLOAT_BYTES, INT8_BYTES = 4, 1
BLAMED = 3
SPARE = (0.125, 0.5)  # of the harm


def searches_operations(recipe: Recipe) -> bool:
    """Whether what is searched, or spread over a front, is which operations `int8` quantises."""
    return isinstance(recipe.steps[-1], Int8) and not any(step.ladder(1.0) for step in recipe.steps)


def rank_operations(factory: CandidateFactory, whole: Candidate, recipe: Recipe) -> tuple[OperationHarm, ...]:
    """The quantised operations, the first to be taken back first: as an attempt before this one has found, or now.

    What it says of time is measured, and comes out a little otherwise each time: other candidates would follow.
    """
    search = recipe.search.objective if recipe.search else "latency"
    made_by = [step.model_dump(mode="json", by_alias=True) for step in whole.recipe.steps]
    folder = factory.cache.folder({"order": made_by, "objective": search, "seed": recipe.seed, "threads": factory.threads})
    if known := folder and _kept(folder):
        return known
    order = _ranked(factory, whole, recipe)
    if folder:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = folder / f"{ORDER}.part"
        partial.write_bytes(ADAPTER.dump_json(order))
        partial.replace(folder / ORDER)
    return order


def _kept(folder: Path) -> tuple[OperationHarm, ...] | None:
    try:
        return ADAPTER.validate_json((folder / ORDER).read_bytes())
    except (OSError, ValidationError):
        return None


def _ranked(factory: CandidateFactory, whole: Candidate, recipe: Recipe) -> tuple[OperationHarm, ...]:
    state = whole.compressed.quantised
    assert state is not None  # the last step is int8
    assert state.unquantised is not None
    harms = operation_harms(state.model, state.unquantised.model, factory.splits.calibration, factory.threads)
    gains = _gains(factory, whole, recipe)
    saved = {name: gains.get(name, 0.0) for name in harms}
    floor = max(FLOOR * sum(max(gain, 0.0) for gain in saved.values()) / max(len(saved), 1), 1e-9)
    order = sorted(harms, key=lambda name: -harms[name] / max(saved[name], floor))
    return tuple(OperationHarm(name=name, harm=harms[name], gain=saved[name]) for name in order)


def whole_ladder(recipe: Recipe) -> Ladder:
    """The recipe as it stands, and nothing else."""
    return Ladder(KNOB, (0.0,), (_without(recipe, ()),), 0)


def operation_ladder(recipe: Recipe, order: tuple[OperationHarm, ...]) -> Ladder:
    """From one quantised operation to all of them; the last is the recipe as it stands."""
    if not order:
        raise InvalidRecipe("search: int8 leaves no operation of this model that could go back to floating point.")
    counts = range(len(order) - 1, -1, -1)
    recipes = tuple(_without(recipe, tuple(each.name for each in order[:count])) for count in counts)
    spare, curve = spare_levels([each.harm for each in order]), operation_curve(order)
    return Ladder(KNOB, tuple(map(float, counts)), recipes, len(order) - 1, spare, curve)


def operation_curve(order: Sequence[OperationHarm]) -> tuple[tuple[float, float], ...]:
    """What the operations that each level leaves in int8 save and harm, were effects to add up."""
    both = np.array([(max(each.gain, 0.0), max(each.harm, 0.0)) for each in reversed(order)])
    return tuple((float(gain), float(harm)) for gain, harm in np.cumsum(both, axis=0))


def spare_levels(harms: Sequence[float]) -> tuple[int, ...]:
    """The hardest levels that leave no more than each of SPARE of the `harms`, which are in the order of being taken back."""
    left = np.cumsum(np.maximum(harms, 0.0)[::-1])  # by level: with one quantised operation, with two, ...
    levels = [int(np.searchsorted(left, share * left[-1], side="right")) - 1 for share in SPARE]
    return tuple(sorted({level for level in levels if 0 <= level < len(harms) - 1}))


def blame(order: tuple[OperationHarm, ...]) -> str:
    """Which operations keep a constraint from being met."""
    worst = sorted(order, key=lambda each: -each.harm)[:BLAMED]
    return "In int8 these operations harm most: " + ", ".join(f"{each.name} ({each.harm:.2g})" for each in worst) + "."


def _gains(factory: CandidateFactory, whole: Candidate, recipe: Recipe) -> Mapping[str, float]:
    """What int8 saves in each operation, in milliseconds or in bytes."""
    if recipe.search is None or recipe.search.objective == "latency":
        settings = recipe.benchmark or BenchmarkSettings()
        return operation_savings(factory.original, whole.read(), factory.splits.test.batch(0, 1), settings)
    layers = find_layers(factory.plan.imported.model)[0]
    return {name: float(prod(layer.shape) * (FLOAT_BYTES - INT8_BYTES)) for layer in layers for name in layer.nodes}


def _without(recipe: Recipe, reverted: tuple[str, ...]) -> Recipe:
    step = recipe.steps[-1]
    assert isinstance(step, Int8)  # `searches_operations` says so
    step = step.model_copy(update={"reverted": (*step.reverted, *reverted)})
    return recipe.model_copy(update={"steps": (*recipe.steps[:-1], step), "search": None, "pareto": None})
