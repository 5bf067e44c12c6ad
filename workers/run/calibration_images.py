"""Fractals become images that the network recognises: `workers.training.inversion`, once for a model and its settings."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from workers.calibration import Samples
from workers.calibration.datasets import prepared
from workers.calibration.image_file import ImageFile
from workers.calibration.preprocessing import ImageInput, image_input
from workers.calibration.samples import Rows
from workers.errors import MissingExtra, NotTrainable
from workers.ir.reading.importer import Imported
from workers.recipe import Recipe
from workers.recipe.recipe import INVERSION_STEPS

CODE = ("fractune", "numpy", "openvino", "torch")

LOST = "Calibrated on plain fractals, at which late layers hardly fire: {}."


def recognised(
    samples: Samples, imported: Imported, recipe: Recipe, folder: Path, threads: int, progress: Callable[[int, int], None]
) -> Samples:
    """Samples whose fractals have moved towards what the model recognises; they are kept in `folder`, and found there again.

    Where the recipe leaves it open and it cannot be done, the samples as they are, with a note that says why. Raises
    MissingExtra without torch, NotTrainable for models that it cannot follow, where the recipe asks for it.
    """
    wanted = recipe.calibration.inversion_steps
    if samples.source != "fractals" or wanted == 0:
        return samples
    try:
        return _inverted(samples, imported, recipe, folder, threads, progress)
    except (MissingExtra, NotTrainable) as error:
        if wanted is not None:
            raise
        remedy = error.hint if isinstance(error, MissingExtra) else "Give real images, if only a few."
        return replace(samples, notes=(*samples.notes, f"{LOST.format(error.message.rstrip('.'))} {remedy}"))


def _inverted(
    samples: Samples, imported: Imported, recipe: Recipe, folder: Path, threads: int, progress: Callable[[int, int], None]
) -> Samples:
    if find_spec("torch") is None:
        raise MissingExtra(
            "Images that the network recognises are made with torch, which is not installed.",
            hint="Install it with pip install 'fractune[finetune]'.",
        )
    image = _only_image(imported, recipe)
    steps = recipe.calibration.inversion_steps or INVERSION_STEPS
    key = _key(samples, imported, image, recipe, steps, threads)
    file = ImageFile(folder / f"{key}.images", image.picture)
    with file.making():
        if not file.complete:
            inversion = import_module("workers.training.inversion").Inversion
            made = inversion.of(imported, samples, image, steps, _seed(recipe), threads)
            made.run(file, progress)
    pixels = _followed_by(file.read, file.count, samples.pixels)
    note = f"The fractals have moved by {steps} steps of the gradient of the network's own answers."
    return replace(
        samples,
        feeds={**samples.feeds, image.name: prepared(pixels, image)},
        pixels=pixels,
        origins=samples.pixels,
        notes=(*samples.notes, note),
    )


def _followed_by(made: Rows, count: int, plain: Rows | None) -> Rows:
    """The first `count` pictures as they were made; those beyond are plain."""
    assert plain is not None  # there is an image input
    return lambda numbers: made(numbers) if numbers.max(initial=0) < count else plain(numbers)


def _only_image(imported: Imported, recipe: Recipe) -> ImageInput:
    """The model's image input. Raises NotTrainable where there are several."""
    found = [image[0] for entry in imported.inputs if (image := image_input(entry, recipe.preprocessing))]
    if len(found) != 1:
        raise NotTrainable(f"The model takes {len(found)} images at once.")
    return found[0]


def _seed(recipe: Recipe) -> int:
    return recipe.seed if recipe.calibration.seed is None else recipe.calibration.seed


def _key(samples: Samples, imported: Imported, image: ImageInput, recipe: Recipe, steps: int, threads: int) -> str:
    """All that the images depend on, hashed."""
    settings = {
        "model": imported.sha256,
        "shapes": [list(entry.shape) for entry in imported.inputs],
        "image": image.record(),
        "count": samples.count,
        "steps": steps,
        "seed": _seed(recipe),
        "threads": threads,
        "code": {name: version(name) for name in CODE},
    }
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
