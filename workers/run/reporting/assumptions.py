"""What a job took for granted because nothing said otherwise, in one sentence for every surface."""

from collections.abc import Iterator

from workers.calibration.preprocessing import ASSUMED
from workers.calibration.samples import Samples
from workers.ir.reading.importer import Imported
from workers.recipe import Recipe


def assumed(recipe: Recipe, imported: Imported, samples: Samples, task: str | None) -> str | None:
    """Preprocessing, batch, shapes and task, as far as they were assumed; None where nothing was. `task` is what was found."""
    parts = [*_preprocessing(samples), *_batches(recipe, imported), *_shapes(recipe, imported)]
    if task is not None and recipe.task is None and recipe.decoder is None:
        parts.append(f"the task is {task.replace('_', ' ')}")
    return f"Assumed: {'; '.join(parts)}. The recipe can say otherwise." if parts else None


def _preprocessing(samples: Samples) -> Iterator[str]:
    for note in dict.fromkeys(samples.notes):
        if note.startswith(ASSUMED):
            yield note.removeprefix(ASSUMED).partition(": ")[2].rstrip(".")


def _batches(recipe: Recipe, imported: Imported) -> Iterator[str]:
    """Told where the first axis is open, or longer than one: elsewhere there is nothing to confuse."""
    for entry in imported.inputs:
        if entry.name not in recipe.batch and entry.source_shape and entry.source_shape[0] != 1:
            yield (
                f"one sample at a time is put into {entry.name!r}"
                if entry.batch_axis is None
                else f"the first axis of {entry.name!r} counts samples"
            )


def _shapes(recipe: Recipe, imported: Imported) -> Iterator[str]:
    given = {name for name in recipe.shapes if name} or ({entry.name for entry in imported.inputs} if recipe.shapes else set())
    for entry in imported.inputs:
        if entry.name not in given and any(length < 0 for length in entry.source_shape[1:]):
            yield f"{entry.name!r} is {' x '.join(map(str, entry.shape))}"
