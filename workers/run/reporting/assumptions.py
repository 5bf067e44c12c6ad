"""What a job took for granted because nothing said otherwise, in one sentence for every surface."""

from collections.abc import Iterator

from workers.calibration.preprocessing import ASSUMED
from workers.calibration.samples import Samples
from workers.ir.reading.importer import Imported, input_descriptions
from workers.recipe import Recipe
from workers.recipe.assumptions import doubted, of_inputs, told


def assumed(
    recipe: Recipe, imported: Imported, samples: Samples, task: str | None, raw_pixels: float | None = None
) -> str | None:
    """Preprocessing, batch, shapes and task, as far as they were assumed; None where nothing was.

    `task` is what was found, `raw_pixels` what `pixel_check` has.
    """
    parts = [*(doubted(what, raw_pixels) for what in _preprocessing(samples)), *of_inputs(input_descriptions(imported), recipe)]
    if task is not None and recipe.task is None and recipe.decoder is None:
        parts.append(f"the task is {task.replace('_', ' ')}")
    return told(parts)


def _preprocessing(samples: Samples) -> Iterator[str]:
    for note in samples.notes:
        if note.startswith(ASSUMED):
            yield note.removeprefix(ASSUMED).partition(": ")[2].rstrip(".")
