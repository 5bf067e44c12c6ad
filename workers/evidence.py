"""Which samples calibrate and which ones judge: never the same."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.calibration import Samples, from_dataset, from_fractals
from workers.errors import InvalidRecipe
from workers.ir.importer import Imported
from workers.jobs.job import Task
from workers.recipe import Recipe

SYNTHETIC_JUDGES = 256  # held-out samples that are drawn when none are given
MOST_JUDGES = 2000  # of a dataset's samples beyond those that calibrate
HELD_OUT = 1_000_003  # added to the seed of fractals that judge


@dataclass(frozen=True, slots=True)
class Evidence:
    """Samples to learn from and samples to judge by."""

    calibration: Samples
    judging: Samples


def gather(task: Task, imported: Imported, recipe: Recipe, progress: Callable[[int, int], None]) -> Evidence:
    """The samples that a job's data and recipe call for.

    Held-out samples are the evaluation set; without one, the dataset's samples beyond those that calibrate; without those,
    synthetic ones. Raises InvalidRecipe when a dataset is asked for and none is given, and what reading the data raises.
    """
    calibration = _calibration(task, imported, recipe, progress)
    if task.evaluation:
        return Evidence(calibration, from_dataset(Path(task.evaluation), imported, recipe.preprocessing))
    if task.data and calibration.source == "dataset":
        whole = from_dataset(Path(task.data), imported, recipe.preprocessing)
        rest = range(calibration.count, min(whole.count, calibration.count + MOST_JUDGES))
        if len(rest):
            return Evidence(calibration, whole.take(np.array(rest)))
    return Evidence(calibration, from_fractals(imported, SYNTHETIC_JUDGES, _seed(recipe) + HELD_OUT, recipe.preprocessing))


def _calibration(task: Task, imported: Imported, recipe: Recipe, progress: Callable[[int, int], None]) -> Samples:
    wanted = recipe.calibration.source or ("dataset" if task.data else "fractals")
    if wanted == "fractals":
        return from_fractals(imported, recipe.calibration.count, _seed(recipe), recipe.preprocessing, progress)
    if task.data is None:
        raise InvalidRecipe("calibration.source is `dataset`, but no data is given.", hint="Give --data, or use fractals.")
    return from_dataset(Path(task.data), imported, recipe.preprocessing, recipe.calibration.count, progress)


def _seed(recipe: Recipe) -> int:
    return recipe.seed if recipe.calibration.seed is None else recipe.calibration.seed
