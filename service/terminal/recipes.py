"""From a recipe file and the short forms on the command line to a Recipe."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers.errors import InvalidRecipe
from workers.recipe import Recipe
from workers.recipe.recipe import parse_recipe

SHAPE = re.compile(r"\s*(?P<name>.*)\[(?P<lengths>\s*\d+\s*(,\s*\d+\s*)*)\]\s*", re.DOTALL)


def read_recipe(
    file: Path | None,
    *,
    prune: float | None,
    int8: bool,
    shapes: Sequence[str],
    seed: int | None,
    task: str | None = None,
) -> Recipe:
    """The recipe of `file`; --prune and --int8 replace its steps, shapes and seed are added to it.

    Raises InvalidRecipe.
    """
    document = _read(file) if file else {}
    steps: list[dict[str, Any]] = []
    if prune is not None:
        steps.append({"method": "layerwise_pruning", "sparsity_level": prune})
    if int8:
        steps.append({"method": "int8"})
    if steps:
        document["steps"] = steps
    if "steps" not in document:
        raise InvalidRecipe("Nothing says how to compress.", hint="Give --recipe FILE, --prune 0.5 or --int8.")
    if shapes:
        document["shapes"] = {**document.get("shapes", {}), **parse_shapes(shapes)}
    if seed is not None:
        document["seed"] = seed
    if task is not None:
        document["task"] = task
    return parse_recipe(document)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text())
    except ValueError as error:  # not UTF-8, or not JSON
        raise InvalidRecipe(f"{file} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidRecipe(f"{file} holds a list or a value where a recipe is an object.")
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
