"""From a recipe file and the short forms on the command line to a Recipe."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.faults import did_you_mean
from workers.recipe.goals import DEFAULT_GOAL, GOALS, with_goal
from workers.recipe.recipe import parse_recipe

SHAPE = re.compile(r"\s*(?P<name>.*)\[(?P<lengths>\s*\d{1,18}\s*(,\s*\d{1,18}\s*)*)\]\s*", re.DOTALL)


def short_steps(prune: float | None, int8: bool) -> list[dict[str, Any]]:
    """The steps that --prune and --int8 stand for."""
    pruning = [] if prune is None else [{"method": "layerwise_pruning", "sparsity_level": prune}]
    return [*pruning, {"method": "int8"}] if int8 else pruning


def read_recipe(
    file: Path | None,
    *,
    goal: str | None = None,
    steps: Sequence[Mapping[str, Any]] = (),
    max_drop: float | None = None,
    shapes: Sequence[str] | None = None,
    knobs: Sequence[str] | None = None,
    seed: int | None = None,
    task: str | None = None,
) -> Recipe:
    """The recipe of `file`, or of the report that it is; `steps` replace its own, all else is added. `knobs` are KNOB=VALUE.

    Where nothing tells the steps, DEFAULT_GOAL does. Raises InvalidRecipe.
    """
    document = _read(file) if file else {}
    if steps and goal:
        raise InvalidRecipe("--goal and --prune or --int8 both say how to compress.", hint="Give one of them.")
    if steps:
        document["steps"] = steps
    if goal or not {"steps", "goal"} & document.keys():
        document["goal"] = _goal(goal) if goal else DEFAULT_GOAL
    document = json.loads(json.dumps(with_goal(document)))  # a copy that may be changed
    told = {"seed": seed, "task": task}
    document |= {name: value for name, value in told.items() if value is not None}
    if max_drop is not None:
        document["constraint"] = {**_object(document, "constraint"), "max_drop": max_drop}
    if shapes:
        document["shapes"] = {**_object(document, "shapes"), **parse_shapes(shapes)}
    for text in knobs or ():
        _set_knob(document, text)
    return parse_recipe(document)


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of the recipe to which something is added. Raises InvalidRecipe where it is no object."""
    part = document.get(name) or {}
    if not isinstance(part, dict):
        raise InvalidRecipe(f"{name}: it is {json.dumps(part)[:40]}, and must be an object.")
    return part


def recipe_beside(model: Path) -> Path | None:
    """The report of the result that `model` belongs to, whose recipe says how inputs are prepared; None where there is none."""
    folders = model.resolve().parents[:2] if model.is_file() else model.resolve().parents[:1]
    return next((file for folder in folders if (file := folder / "report.json").is_file()), None)


def _set_knob(document: dict[str, Any], text: str) -> None:
    """`preprocessing.scale_values=[255]`: names lead through objects, and numbers through lists; the value is JSON, or text."""
    path, equals, value = text.partition("=")
    *outer, last = path.split(".")
    place: Any = document
    try:
        for name in outer:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = _json_or_text(value)
    except (ValueError, IndexError, TypeError, AttributeError):
        equals = ""
    if not equals:
        raise InvalidRecipe(
            f"--set {text!r} names no knob.", hint="Write it as --set calibration.count=300, or --set steps.0.bits=3."
        )


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _goal(text: str) -> str:
    name = text.replace("-", "_")
    if name not in GOALS:
        raise InvalidRecipe(f"There is no goal {text!r}.", hint=f"{did_you_mean(name, GOALS)}There are {', '.join(GOALS)}.")
    return name


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise InvalidRecipe(f"{file} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidRecipe(f"{file} holds a list or a value where a recipe is an object.")
    if "schema_version" in document and isinstance(document.get("recipe"), dict):
        return dict(document["recipe"])
    return document


def parse_shapes(texts: Sequence[str]) -> dict[str, list[int]]:
    """Lengths by input, from texts such as `input[1,3,224,224]`. Raises InvalidRecipe."""
    return dict(map(_shape, texts))


def _shape(text: str) -> tuple[str, list[int]]:
    """`input[1,3,224,224]`; without a name it is for the only input."""
    match = SHAPE.fullmatch(text)
    if match is None:
        raise InvalidRecipe(f"{text!r} is not a shape.", hint="Write it as --shape 'input[1,3,224,224]'.")
    return match["name"], [int(length) for length in match["lengths"].split(",")]
