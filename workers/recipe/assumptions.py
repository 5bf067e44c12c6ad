"""What is taken for granted because nothing says otherwise, in one sentence for every surface."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from workers.recipe.recipe import Recipe

IMAGENET_ASSUMED = "pixels are scaled by the mean and standard deviation of ImageNet"
BYTES_ASSUMED = "pixels are divided by 255"
COLOURS = 3  # channels of a picture that ImageNet's figures are for
Inputs = Sequence[Mapping[str, Any]]  # of inspection.json


def told(parts: Iterable[str]) -> str | None:
    """The sentence; None where nothing was assumed."""
    found = "; ".join(dict.fromkeys(parts))
    return f"Assumed: {found}. The recipe can say otherwise." if found else None


def foreseen(inputs: Inputs, recipe: Recipe, raw_pixels: float | None = None) -> str | None:
    """What a job of that recipe will assume, should its samples be pictures; the task shows only once it runs.

    `raw_pixels` is how many times as far apart the inspection has found the answers to unscaled pixels.
    """
    return told((*(doubted(what, raw_pixels) for what in _preprocessing(inputs, recipe)), *of_inputs(inputs, recipe)))


def doubted(what: str, raw_pixels: float | None) -> str:
    """What is assumed of pixels, with the reason to doubt it if there is one."""
    if raw_pixels is None:
        return what
    return (
        f"{what}, which seems wrong: different pictures get nearly the same answer then, and answers {raw_pixels:g} times "
        "as far apart with pixels as they are, 0 to 255 (preprocessing.scale_values: [1])"
    )


def pixel_hint(raw_pixels: float) -> str:
    """The same of a model alone, before there is a recipe."""
    return (
        f"It seems to take pixels as they are, 0 to 255: its answers to different pictures lie {raw_pixels:g} times as far "
        "apart then as with pixels scaled by the mean and standard deviation of ImageNet, or by 255, as is assumed otherwise. "
        "Say so in the recipe: preprocessing.scale_values: [1]."
    )


def of_inputs(inputs: Inputs, recipe: Recipe) -> Iterator[str]:
    """Batches and shapes."""
    yield from _batches(inputs, recipe)
    yield from _shapes(inputs, recipe)


def _preprocessing(inputs: Inputs, recipe: Recipe) -> Iterator[str]:
    declared = recipe.preprocessing
    if declared.mean_values is None and declared.scale_values is None:
        for entry in inputs:
            layout, shape = declared.layout or entry.get("layout"), entry["shape"]
            if layout and len(shape) == len(layout) and shape[0] == 1 and entry["dtype"].startswith("float"):
                yield IMAGENET_ASSUMED if shape[layout.index("C")] == COLOURS else BYTES_ASSUMED


def _batches(inputs: Inputs, recipe: Recipe) -> Iterator[str]:
    """Told where the first axis is open, or longer than one: elsewhere there is nothing to confuse."""
    for entry in inputs:
        source = entry.get("source_shape")
        if entry["name"] not in recipe.batch and source and source[0] != 1:
            yield (
                f"one sample at a time is put into {entry['name']!r}"
                if entry["batch_axis"] is None
                else f"the first axis of {entry['name']!r} counts samples"
            )


def _shapes(inputs: Inputs, recipe: Recipe) -> Iterator[str]:
    given = {name for name in recipe.shapes if name} or ({entry["name"] for entry in inputs} if recipe.shapes else set())
    for entry in inputs:
        if entry["name"] not in given and any(length < 0 for length in entry.get("source_shape", ())[1:]):
            yield f"{entry['name']!r} is {' x '.join(map(str, entry['shape']))}"
