"""A job from end to end: import, calibrate, compress, export, verify, benchmark, report.

Knows neither queue nor database: the same code runs behind the service and behind `fractune optimize`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from workers import machine
from workers.allocation.error_attribution import only_quantised, output_errors_per_layer
from workers.allocation.profile_cache import ProfileCache
from workers.calibration import Samples
from workers.calibration.data_splits import DataSplits, calibration_samples, hold_back, split_data
from workers.engine.cache import JobCache
from workers.engine.layer import LayerResult
from workers.errors import FractuneError, InvalidRecipe
from workers.evaluation import memory
from workers.evaluation.model_comparison import find_task
from workers.evaluation.tasks import TaskRequest
from workers.evaluation.tasks.task import Task
from workers.ir.reading.error_translation import plain_sentence
from workers.ir.reading.importer import Imported, load
from workers.ir.writing.writer import saved_size
from workers.jobs.claims import candidate_name
from workers.jobs.job import JobTask, Stage
from workers.randomness import Stream, generator
from workers.recipe import Recipe
from workers.recipe.recipe import parse_recipe
from workers.run.calibration_images import recognised
from workers.run.candidates import Candidate, CandidateFactory
from workers.run.clock import Clock
from workers.run.compression import batch_size, help_compression, make_context, solve_ahead
from workers.run.exploration import explore
from workers.run.original_check import Tryout, check_original, find_numbering
from workers.run.plan import make_plan
from workers.run.reporting.report_builder import RunResults, layer_row, write_report
from workers.run.search_strategy import build_ladder
from workers.threads import Threads


def compress(task: JobTask, clock: Clock, workdir: Path | None = None) -> bool:
    """Run a recipe and write 1/model.xml, report.json, report.html and provenance.json under `task.out`.

    True where memory is still to be measured, by a process of its own that has `workdir`. Raises a Refusal for what cannot be
    used and a JobFailure for what cannot be finished.
    """
    recipe = parse_recipe(task.recipe)
    threads = task.threads or machine.threads()
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes, recipe.batch)
        plan = make_plan(imported, recipe)  # refuses what cannot be used before anything is computed
    with clock.run(Stage.CALIBRATE, recipe.calibration.count):
        splits, meaning = _samples(task, imported, recipe, threads, clock)

    def on_layer(result: LayerResult) -> None:
        clock.tell({"event": "layer", **layer_row(result)})

    exploring = bool(recipe.search or recipe.pareto)
    cache = JobCache(Path(task.checkpoints) if task.checkpoints else None)
    tell = (lambda result: None) if exploring else on_layer
    profiles = ProfileCache(cache)
    factory = CandidateFactory(imported, imported.model, plan, meaning, splits, threads, clock, tell, cache, profiles)
    explored = explore(factory, recipe, Path(task.out))
    if exploring:
        for result in explored.chosen.compressed.results:
            on_layer(result)
    failed: list[str] = []
    if settings := recipe.benchmark:
        with optional("The benchmark", failed):
            factory.time(explored.chosen, settings)
    with clock.run(Stage.LOSSES, len(explored.chosen.compressed.results)):
        lost = _lost(factory, explored.chosen, failed)
    with clock.run(Stage.REPORT):
        sizes = saved_size(imported.model, half=imported.precision == "f16", threads=Threads(threads))
        spent = dict(clock.spent)
        write_report(RunResults(task, recipe, imported, splits, explored, sizes, lost, spent, tuple(failed), cache.reused))
        if workdir is None or not memory.is_wanted(recipe):
            return False
        memory.leave_for_measuring(imported.model, splits.test.batch(0, 1), workdir, half=imported.precision == "f16")
        return True


def _samples(task: JobTask, imported: Imported, recipe: Recipe, threads: int, clock: Clock) -> tuple[DataSplits, Task]:
    """What calibrates, selects and tests, and what the model is for; the original is held to its labels."""
    splits = split_data(task, imported, recipe, clock.progress)
    calibration = _recognised(splits.calibration, task, imported, recipe, threads, clock)
    splits = hold_back(replace(splits, calibration=calibration), recipe)
    tryout = Tryout(imported.model, splits.test, threads, generator(recipe.seed, Stream.ORIGINAL_CHECK))
    meaning = find_task(imported.model, splits.test, threads, _request(task, recipe, threads), tryout.request)
    numbering = find_numbering(tryout, meaning)
    if numbering:
        tryout.samples = numbering.applied(tryout.samples)
        splits = replace(splits, test=numbering.applied(splits.test), validation=numbering.applied(splits.validation))
    if recipe.check_original:
        check_original(tryout, meaning)
    return splits, meaning


def _lost(factory: CandidateFactory, chosen: Candidate, failed: list[str]) -> dict[str, float]:
    """What each layer's new weights alone cost the outputs; nothing where that cannot be had, and `failed` says so.

    Where levels or bits waited for a profile it foretells them; the others are measured, but for `int8` alone, whose
    operations a search weighs with their activations, should it have to.
    """
    if only_quantised(chosen.compressed.results):
        return {}
    samples = factory.splits.calibration
    size = batch_size(factory.imported, samples)
    with optional("What each layer costs the outputs", failed):
        model, results = factory.plan.imported.model, chosen.compressed.results
        foretold = factory.profiles.foretold(results)
        others = [result for result in results if result.layer.name not in foretold]
        tell = partial(_after, factory.clock, len(results) - len(others), len(results))
        tell(0)
        return foretold | output_errors_per_layer(
            model, others, samples, batch_size=size, threads=factory.threads, progress=tell
        )
    return {}


def _after(clock: Clock, known: int, total: int, done: int, _: int = 0, layer: str | None = None) -> None:
    """Say how far a stage is of which `known` of `total` layers were there from the beginning."""
    clock.progress(known + done, total, layer)


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
    """Solve layers for the process that does the same job: they appear among its checkpoints. Raises as it does.

    They are those of one candidate where the task names its level, and else such as nobody else has claimed.
    """
    recipe = parse_recipe(task.recipe)
    threads = task.threads or machine.threads()
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes, recipe.batch)
        plan = make_plan(imported, recipe)
    with clock.run(Stage.CALIBRATE, recipe.calibration.count):
        samples = calibration_samples(task, imported, recipe, clock.progress)
        samples = _recognised(samples, task, imported, recipe, threads, clock)
        samples = hold_back(DataSplits(samples, samples, samples), recipe).calibration
    cache, independent = JobCache(Path(task.checkpoints) if task.checkpoints else None), recipe.calibrate_on == "original"
    context = make_context(plan, imported.model, samples, seed=recipe.seed, threads=threads, independent=independent)
    with clock.run(Stage.COMPRESS):
        if task.level is None:
            help_compression(plan, context, cache)
            return
        steps = build_ladder(recipe).recipes[task.level].steps
        with cache.part(candidate_name(task.level)) as ours:
            if ours:
                solve_ahead(plan.with_steps(steps), context, cache, clock.progress)


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
