"""How fast a model runs here by itself, or beside another one: the benchmark of a job, without the job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.calibration import from_dataset, from_fractals
from workers.errors import DataMismatch
from workers.evaluation.benchmark import compare_speed, measure_speed
from workers.ir.reading.batching import rebatch
from workers.ir.reading.importer import Imported
from workers.ir.reading.runnable import load_as_it_is
from workers.jobs.job import JobTask, Stage
from workers.randomness import Stream, generator
from workers.recipe import Recipe
from workers.recipe.recipe import BenchmarkSettings, parse_recipe
from workers.run.candidates import timed_inputs
from workers.run.clock import Clock

Inputs = Mapping[str, NDArray[Any]]


def benchmark(task: JobTask, clock: Clock) -> None:
    """Time the model, and `task.other` interleaved with it where there is one, and write out/benchmark.json.

    Raises a Refusal for what cannot be read or run, DataMismatch for models that take different inputs.
    """
    recipe = parse_recipe(task.recipe)
    with clock.run(Stage.IMPORT):
        models = [load_as_it_is(Path(path), recipe.shapes, recipe.batch) for path in (task.model, task.other) if path]
        settings = _settings(recipe, models[0])
        inputs = _inputs(models[0], task, recipe, settings)
        for model in models:
            _check_fits(model, inputs)
    first = models[0].inputs[0]
    size = len(inputs[first.name]) if first.batch_axis == 0 else 1
    run = [rebatch(model.model, size) if size > 1 else model.model for model in models]
    rng = generator(recipe.seed, Stream.BENCHMARK)
    with clock.run(Stage.BENCHMARK, settings.niter):
        measured = (
            compare_speed(run[0], run[1], inputs, settings, rng, batch_size=size, progress=clock.progress)
            if task.other
            else measure_speed(run[0], inputs, settings, rng, batch_size=size, progress=clock.progress)
        )
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmark.json").write_text(measured.model_dump_json())


def _settings(recipe: Recipe, model: Imported) -> BenchmarkSettings:
    """How the recipe times: at the shapes that it gives to inputs, unless it asks for a batch of several samples."""
    settings = recipe.benchmark or BenchmarkSettings()
    if settings.batch > 1:
        return settings
    shapes = {entry.name: recipe.shapes.get(entry.name, recipe.shapes.get("")) for entry in model.inputs}
    return settings.model_copy(update={"shapes": {name: tuple(shape) for name, shape in shapes.items() if shape}})


def _inputs(model: Imported, task: JobTask, recipe: Recipe, settings: BenchmarkSettings) -> dict[str, NDArray[Any]]:
    """The first of the samples given, or fractals."""
    samples = (
        from_dataset(Path(task.data), model, recipe.preprocessing)
        if task.data
        else from_fractals(model, settings.batch, recipe.seed, recipe.preprocessing)
    )
    return timed_inputs(samples, settings)


def _check_fits(model: Imported, inputs: Inputs) -> None:
    """Raises DataMismatch for a model whose inputs are others."""
    wanted = {entry.name: entry for entry in model.all_inputs}
    if wanted.keys() != inputs.keys():
        raise DataMismatch(
            f"The models take different inputs: {', '.join(sorted(inputs))} and {', '.join(sorted(wanted))}.",
            hint="Only models with the same inputs can be timed side by side.",
        )
    for name, value in inputs.items():
        if wanted[name].dtype != np.dtype(value.dtype):
            raise DataMismatch(f"Input {name!r} is {value.dtype.name} in one model and {wanted[name].dtype.name} in the other.")
