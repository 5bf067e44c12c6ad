"""Which samples calibrate, which ones select among candidates and which ones judge: never the same."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from workers.calibration import Choice, Samples, from_dataset, from_fractals, split
from workers.errors import DataOverlap, InvalidRecipe
from workers.ir.reading.importer import Imported
from workers.jobs.job import JobTask
from workers.methods.finetune import Finetune
from workers.randomness import Stream, generator
from workers.recipe import Recipe

MOST_STOPPING = 512
MOST_JUDGES = 5000  # of a dataset's samples beyond those that calibrate
HELD_OUT = 1_000_003  # added to the seed of fractals that judge


@dataclass(frozen=True, slots=True)
class DataSplits:
    """Samples to learn from, samples to choose by and samples to judge by."""

    calibration: Samples
    test: Samples
    validation: Samples
    fractal_holdout: Samples | None = None  # that would judge without data, where data judge and fractals calibrate
    early_stopping: Samples | None = None  # that choose the best state of a distillation; they neither calibrate nor train


def split_data(task: JobTask, imported: Imported, recipe: Recipe, progress: Callable[[int, int], None]) -> DataSplits:
    """The samples that a job's data and recipe call for.

    Held-out samples are the evaluation set; without one, the dataset's samples beyond those that calibrate; without those,
    synthetic ones. A search selects by samples of its own: those of the dataset that neither calibrate nor judge, or half of
    the held-out ones. Where fractals calibrate and data
    judge, `fractal_holdout` tells how far judging by fractals would have been from that.

    Raises InvalidRecipe when a dataset is asked for and none is given, DataOverlap where a sample that
    calibrates would judge, and what reading the data raises.
    """
    calibration = calibration_samples(task, imported, recipe, progress)
    selects = bool(recipe.search or recipe.pareto)
    rest = _beyond(task, imported, recipe, calibration) if selects or not task.evaluation else None
    if task.evaluation:
        held = from_dataset(Path(task.evaluation), imported, recipe.preprocessing, Choice(task=recipe.task))
        _check_apart(calibration, held)
    else:
        held, rest = rest or _fractal_judges(imported, recipe), None
    fractal_holdout = (
        _fractal_judges(imported, recipe) if (calibration.source, held.source) == ("fractals", "dataset") else None
    )
    if not selects:
        return DataSplits(calibration, held, held, fractal_holdout)
    if rest is not None:
        return DataSplits(calibration, held, rest, fractal_holdout)
    if held.count < 2:
        raise InvalidRecipe("A search needs at least 2 held-out samples: some to select by, others to judge by.")
    test, validation = split(held, (0.5, 0.5), generator(recipe.seed, Stream.TEST_SPLIT))
    return DataSplits(calibration, test, validation, fractal_holdout)


def hold_back(splits: DataSplits, recipe: Recipe) -> DataSplits:
    """Where the recipe distils, keep a tenth of the calibration samples for `early_stopping`."""
    if not any(isinstance(step, Finetune) for step in recipe.steps) or splits.calibration.count < 2:
        return splits
    held = min(max(splits.calibration.count // 10, 1), MOST_STOPPING)
    order = generator(recipe.seed, Stream.EARLY_STOPPING).permutation(splits.calibration.count)
    early_stopping, calibration = (splits.calibration.take(np.sort(part)) for part in (order[:held], order[held:]))
    return replace(splits, calibration=calibration, early_stopping=early_stopping)


def _beyond(task: JobTask, imported: Imported, recipe: Recipe, calibration: Samples) -> Samples | None:
    """The dataset's samples that do not calibrate, MOST_JUDGES of them at the most."""
    if not task.data or calibration.source != "dataset":
        return None
    draw = generator(recipe.seed, Stream.TEST_DRAW)
    choice = Choice(MOST_JUDGES, draw, recipe.task, beyond=calibration.numbers)
    rest = from_dataset(Path(task.data), imported, recipe.preprocessing, choice)
    return rest if rest.count else None


def _check_apart(calibration: Samples, held: Samples) -> None:
    """Raises DataOverlap where a sample that calibrates would judge."""
    if calibration.digest is None or held.digest is None:
        return
    known = {calibration.digest(int(number)): int(number) for number in calibration.numbers}
    twice = [int(number) for number in held.numbers if held.digest(int(number)) in known]
    if twice:
        first, count = held.title(twice[0]), len(twice)
        raise DataOverlap(f"{count:,} of the {held.count:,} held-out samples also calibrate, the first of them {first!r}.")


def _fractal_judges(imported: Imported, recipe: Recipe) -> Samples:
    return from_fractals(imported, recipe.drawn_judges, _seed(recipe) + HELD_OUT, recipe.preprocessing)


def calibration_samples(task: JobTask, imported: Imported, recipe: Recipe, progress: Callable[[int, int], None]) -> Samples:
    wanted = recipe.calibration.source or ("dataset" if task.data else "fractals")
    if wanted == "fractals":
        return from_fractals(imported, recipe.calibration.count, _seed(recipe), recipe.preprocessing, progress)
    if task.data is None:
        raise InvalidRecipe("calibration.source is `dataset`, but no data is given.", hint="Give --data, or use fractals.")
    choice = Choice(recipe.calibration.count, generator(_seed(recipe), Stream.CALIBRATION_DRAW), recipe.task)
    return from_dataset(Path(task.data), imported, recipe.preprocessing, choice, progress)


def _seed(recipe: Recipe) -> int:
    return recipe.seed if recipe.calibration.seed is None else recipe.calibration.seed
