"""A job from end to end: import, calibrate, compress, export, verify, benchmark, report.

Knows neither queue nor database: the same code runs behind the service and behind `fractune optimize`.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import openvino as ov
from pydantic import ValidationError

from workers import machine
from workers.allocation.error_attribution import output_errors_per_layer
from workers.calibration import Samples
from workers.calibration.data_splits import DataSplits, calibration_samples, hold_back, split_data
from workers.engine.cache import JobCache
from workers.engine.layer import LayerResult
from workers.errors import FractuneError, InvalidRecipe
from workers.evaluation.fidelity import find_task
from workers.evaluation.tasks import TaskRequest
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.graph.origins import Origin
from workers.ir.reading.error_translation import plain_sentence
from workers.ir.reading.importer import Imported, load
from workers.ir.reading.importer import describe_model as describe
from workers.ir.writing.writer import saved_size
from workers.jobs.job import JobTask, Stage
from workers.randomness import Stream, generator
from workers.recipe import Recipe
from workers.run.calibration_images import recognised
from workers.run.candidates import CandidateFactory
from workers.run.clock import Clock
from workers.run.compression import batch_size, help_compression, make_context
from workers.run.exploration import explore
from workers.run.original_check import check_original
from workers.run.plan import make_plan
from workers.run.report_builder import RunResults, layer_row, write_report


def inspect(task: JobTask, clock: Clock) -> None:
    """Read a model and write out/inspection.json: inputs, outputs, layers, parameters. Raises a Refusal."""
    recipe = recipe_of(task) if task.recipe else None
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes if recipe else {}, recipe.batch if recipe else {})
        layers, skipped = find_layers(imported.model)
        found = describe(imported) | {
            "layers": [_layer(imported.model, layer, imported.origins) for layer in layers],
            "skipped": [{"name": entry.name, "type": entry.type, "reason": entry.reason} for entry in skipped],
        }
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(json.dumps(found, indent=1))


def _layer(model: ov.Model, layer: Layer, origins: Mapping[str, Origin]) -> dict[str, Any]:
    """A layer of an inspection; its work and the size of its outputs are null where they depend on the data."""
    nodes = nodes_by_name(model)
    outputs = [nodes[name].get_output_partial_shape(0) for name in layer.nodes]
    shapes = [tuple(axis.get_length() for axis in shape) for shape in outputs if shape.is_static]
    known = len(shapes) == len(outputs)
    return {
        "name": layer.name,
        "type": layer.type,
        "shape": layer.shape,
        "weights": layer.size,
        "columns": layer.cols,
        "operations": layer.nodes if len(layer.nodes) > 1 else None,
        "known_as": _known(layer.nodes, [origins[name].names for name in layer.nodes]),
        "types": _known([layer.type], [origins[name].types for name in layer.nodes]),
        "macs": sum(layer.geometry.positions(shape) for shape in shapes) * layer.size if known else None,
        "outputs": sum(map(prod, shapes)) if known else None,
    }


def _known(first: Iterable[str], more: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys((*first, *chain.from_iterable(more))))


def compress(task: JobTask, clock: Clock) -> None:
    """Run a recipe and write 1/model.xml, report.json, report.html and provenance.json under `task.out`.

    Raises a Refusal for what cannot be used and a JobFailure for what cannot be finished.
    """
    recipe = recipe_of(task)
    threads = task.threads or machine.threads()
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes, recipe.batch)
        original = imported.model.clone()
        plan = make_plan(imported, recipe)  # refuses what cannot be used before anything is computed
    with clock.run(Stage.CALIBRATE, recipe.calibration.count):
        splits = split_data(task, imported, recipe, clock.progress)
        calibration = _recognised(splits.calibration, task, imported, recipe, threads, clock)
        splits = hold_back(replace(splits, calibration=calibration), recipe)
        meaning = find_task(original, splits.test, threads, _request(task, recipe, threads))
        if recipe.check_original:
            check_original(original, splits.test, meaning, threads, generator(recipe.seed, Stream.ORIGINAL_CHECK))
    exploring = bool(recipe.search or recipe.pareto)

    def on_layer(result: LayerResult) -> None:
        clock.tell({"event": "layer", **layer_row(result)})

    cache = JobCache(Path(task.checkpoints) if task.checkpoints else None)
    tell = (lambda result: None) if exploring else on_layer
    factory = CandidateFactory(imported, original, plan, meaning, splits, threads, clock, tell, cache)
    explored = explore(factory, recipe, Path(task.out))
    chosen = explored.chosen
    if exploring:
        for result in chosen.compressed.results:
            on_layer(result)
    failed: list[str] = []
    if settings := recipe.benchmark:
        with optional("The benchmark", failed):
            factory.time(chosen, settings)
    with clock.run(Stage.REPORT):
        lost: dict[str, float] = {}
        with optional("What each layer costs the outputs", failed):
            lost = output_errors_per_layer(
                plan.imported.model,
                chosen.compressed.results,
                splits.calibration,
                batch_size=batch_size(imported, splits.calibration),
                threads=threads,
            )
        sizes = saved_size(original, half=imported.precision == "f16")
        write_report(
            RunResults(task, recipe, imported, splits, explored, sizes, lost, dict(clock.spent), tuple(failed), cache.reused)
        )


@contextmanager
def optional(figure: str, failed: list[str]) -> Iterator[None]:
    """Go on where a figure cannot be had that the result does not depend on; `failed` gets a sentence for the report."""
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).exception(figure)
        reason = error.message if isinstance(error, FractuneError) else f"{type(error).__name__}: {error}"
        failed.append(f"{figure} could not be determined: {plain_sentence(reason)}")


def assist(task: JobTask, clock: Clock) -> None:
    """Solve layers for the process that compresses by the same task: they appear among its checkpoints. Raises as it does."""
    recipe = recipe_of(task)
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes, recipe.batch)
        plan = make_plan(imported, recipe)
    with clock.run(Stage.CALIBRATE, recipe.calibration.count):
        threads = task.threads or machine.threads()
        samples = calibration_samples(task, imported, recipe, clock.progress)
        samples = _recognised(samples, task, imported, recipe, threads, clock)
        samples = hold_back(DataSplits(samples, samples, samples), recipe).calibration
    with clock.run(Stage.COMPRESS):
        cache = JobCache(Path(task.checkpoints) if task.checkpoints else None)
        context = make_context(plan, imported.model, samples, seed=recipe.seed, threads=threads, independent=True)
        help_compression(plan, context, cache)


def _recognised(samples: Samples, task: JobTask, imported: Imported, recipe: Recipe, threads: int, clock: Clock) -> Samples:
    folder = Path(task.cache) if task.cache else Path(task.out).parent / "cache"

    def tell(done: int, total: int) -> None:
        clock.progress(done, total, message="images that the network recognises")

    return recognised(samples, imported, recipe, folder, threads, tell)


def _request(task: JobTask, recipe: Recipe, threads: int) -> TaskRequest:
    """What is said about the meaning of the outputs. Raises InvalidRecipe where something is named that is not given."""
    if recipe.constraint and recipe.constraint.metric == "custom" and not task.metric:
        raise InvalidRecipe("constraint.metric is `custom`, and no function is given.", hint="Give --metric MODULE:FUNCTION.")
    head = None if task.decoder else recipe.decoder
    return TaskRequest(recipe.task, head, Path(task.decoder) if task.decoder else None, task.metric, threads)


def recipe_of(task: JobTask) -> Recipe:
    """The recipe of a task. Raises InvalidRecipe that names the wrong key."""
    try:
        return Recipe.model_validate(task.recipe)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRecipe(f"{where}: {first['msg']}") from error
