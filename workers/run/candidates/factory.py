"""One model after another from the same import, the same samples and the same profile of layers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.allocation.profile_cache import ProfileCache
from workers.calibration import Samples
from workers.calibration.data_splits import DataSplits
from workers.engine.cache import JobCache
from workers.engine.layer import LayerResult
from workers.errors import InvalidRecipe
from workers.evaluation.benchmark import compare_speed
from workers.evaluation.model_comparison import Comparison, compare_models
from workers.evaluation.steadiness import doubts
from workers.evaluation.tasks import Task
from workers.ir.graph.states import restore_states
from workers.ir.reading.batching import rebatch
from workers.ir.reading.importer import Imported
from workers.ir.writing.exporter import export
from workers.ir.writing.reopening import reopen
from workers.jobs.job import Stage
from workers.methods.int8 import Int8
from workers.passes import RunContext, measure_again
from workers.passes.reversion import taken_back
from workers.randomness import Stream, generator
from workers.recipe import BenchmarkSettings, Recipe
from workers.run.candidates.candidate import Candidate, sparsity_of
from workers.run.candidates.candidate_record import CandidateShelf
from workers.run.clock import Clock
from workers.run.compression import (
    Compressed,
    batch_size,
    compress_model,
    compressed_by,
    make_context,
    profile_first,
    waits_for_profile,
)
from workers.run.plan import CompressionPlan
from workers.statistics.constraint import CONFIDENCE, measured_drop, verify_constraint
from workers.threads import Threads

TIMING = 0.05  # of a job's processor time so far, that its benchmark may take once it tells an interval
PROBE = 23  # of the seed of values on which a written model is compared with what was meant

Compress = Callable[[Recipe], Compressed]

# The parts of a recipe that make the model.
MAKING = {"steps", "calibration", "calibrate_on", "preprocessing", "ignored_scope", "shapes", "batch", "seed"}


@dataclass(frozen=True, slots=True)
class CandidateFactory:
    """All that candidates share."""

    imported: Imported
    original: ov.Model
    plan: CompressionPlan  # of the recipe as it was given
    task: Task
    splits: DataSplits
    threads: int
    clock: Clock
    on_layer: Callable[[LayerResult], None]
    cache: JobCache
    profiles: ProfileCache = field(default_factory=ProfileCache)
    confidence: float = CONFIDENCE  # of the bounds by which candidates are judged

    def make(self, recipe: Recipe, folder: Path, setting: float = 0.0, compress: Compress | None = None) -> Candidate:
        """Compress by `recipe`, in a way of one's own where `compress` is given, and write `folder`/1/model.xml and .bin."""
        began = time.perf_counter()
        return self._export((compress or self.compress)(recipe), recipe, folder, setting, began)

    def take_up(self, recipe: Recipe, folder: Path, setting: float = 0.0) -> Candidate | None:
        """The same candidate, made and looked at by an attempt before this one; None where there is none.

        It is not compressed again: `found` is None.
        """
        shelf = self._shelf(recipe)
        candidate = shelf.take(recipe, setting, folder, self.task) if shelf else None
        if candidate:
            self._decide(candidate)
        return candidate

    def complete(self, candidate: Candidate, compress: Compress | None = None) -> None:
        """Have a candidate that was taken up know what compression came to: its solved layers are kept."""
        if candidate.found is None:
            candidate.found = _kept_small((compress or self.compress)(candidate.recipe))

    def compress(self, recipe: Recipe) -> Compressed:
        """Take the steps of `recipe`."""
        self.profile(recipe)
        plan = self.plan.with_steps(recipe.steps)
        with self.clock.run(Stage.COMPRESS, plan.work):
            return compress_model(plan, self._context(recipe), self.clock.progress, self.profiles, self.cache)

    def profile(self, recipe: Recipe) -> None:
        """Make the profile that levels or bits of a recipe wait for; one serves all candidates."""
        plan = self.plan.with_steps(recipe.steps)
        if waits_for_profile(plan) and self.profiles.empty:
            with self.clock.run(Stage.SENSITIVITY):
                profile_first(plan, self._context(recipe), self.profiles, self.clock.progress)

    def take_back(self, whole: Candidate, recipe: Recipe) -> Compressed:
        """What `recipe` comes to, from `whole`, which differs in what its `int8` takes back to floating point alone."""
        step, state = recipe.steps[-1], whole.compressed.quantised
        assert isinstance(step, Int8)
        assert state is not None  # it ends with int8
        with self.clock.run(Stage.COMPRESS, 1):
            return compressed_by(self.plan.with_steps(recipe.steps), taken_back(state, step.reverted))

    def measure_layers(self, candidate: Candidate) -> None:
        """Measure the layers of a candidate that was made from another one."""
        state = candidate.compressed.quantised
        assert state is not None  # it ends with int8
        with self.clock.run(Stage.COMPRESS, 1):
            step, context = candidate.recipe.steps[-1], self._context(candidate.recipe)
            compressed = compressed_by(self.plan.with_steps(candidate.recipe.steps), measure_again(step, state, context))
        candidate.found = _kept_small(compressed)

    def _context(self, recipe: Recipe) -> RunContext:
        return make_context(
            self.plan,
            self.original,
            self.splits.calibration,
            early_stopping=self.splits.early_stopping,
            seed=recipe.seed,
            threads=self.threads,
            independent=recipe.calibrate_on == "original",
            on_layer=self.on_layer,
        )

    def _export(self, compressed: Compressed, recipe: Recipe, folder: Path, setting: float, began: float) -> Candidate:
        with self.clock.run(Stage.EXPORT):
            given, model = self.imported, compressed.model.clone()  # int8 may yet be taken back from what was compressed
            warnings = reopen(model, given.interface, given.shapes, given.trial, given.all_inputs)
            model = restore_states(model, given.states) if given.states else model
            layers = [(result.layer, result.scale) for result in compressed.results]
            exported = export(model, layers, folder, _metadata(recipe, given), _probes(given), Threads(self.threads))
        small, share = _kept_small(compressed), sparsity_of(compressed)
        return Candidate(recipe, setting, small, share, exported, time.perf_counter() - began, warnings=warnings)

    def select(self, candidate: Candidate, samples: Samples) -> None:
        """Estimate the fidelity of a candidate on samples that select, unless it is known."""
        if candidate.estimate is None:
            candidate.estimate = self._compare(candidate, samples)
            self._keep(candidate)
        self._decide(candidate)

    def judge(self, candidate: Candidate) -> None:
        """Compare a candidate with the original on the samples that judge, unless it was, and decide on its constraint."""
        if candidate.comparison is None:
            candidate.comparison = self._compare(candidate, self.splits.test)
            size = batch_size(self.imported, self.splits.test)
            candidate.doubts = doubts(candidate.read(), self.splits.test, size, self.threads)
            if self.splits.fractal_holdout is not None:
                candidate.on_fractals = self._compare(candidate, self.splits.fractal_holdout)
            self._keep(candidate)
        self._decide(candidate)

    def _decide(self, candidate: Candidate) -> None:
        """Say what the comparisons so far mean for the constraint."""
        constraint = candidate.recipe.constraint
        if constraint and candidate.estimate:
            candidate.expected = measured_drop(constraint, candidate.estimate.outcomes, self.confidence)
        if constraint and candidate.comparison:
            candidate.verdict = verify_constraint(constraint, candidate.comparison.outcomes, self.confidence)

    def _keep(self, candidate: Candidate) -> None:
        """Leave a candidate of a search or a front to an attempt after this one."""
        if shelf := self._shelf(candidate.recipe):
            shelf.keep(candidate)

    def _shelf(self, recipe: Recipe) -> CandidateShelf | None:
        made_by = recipe.model_dump(mode="json", by_alias=True, include=MAKING)
        folder = self.cache.folder({"candidate": made_by, "threads": self.threads})
        return CandidateShelf(folder) if folder else None

    def time(self, candidate: Candidate, settings: BenchmarkSettings) -> None:
        """Time a candidate beside the original."""
        model = candidate.read()
        inputs = timed_inputs(self.splits.test, settings)
        original = rebatch(self.original, settings.batch) if settings.batch > 1 else self.original
        rng = generator(candidate.recipe.seed, Stream.BENCHMARK)
        with self.clock.run(Stage.BENCHMARK, settings.niter):
            candidate.benchmark = compare_speed(
                original,
                model,
                inputs,
                settings,
                rng,
                batch_size=settings.batch,
                progress=self.clock.progress,
                allowance=TIMING * time.process_time(),
            )

    def _compare(self, candidate: Candidate, samples: Samples) -> Comparison:
        model = candidate.read()
        with self.clock.run(Stage.VERIFY, samples.count):
            return compare_models(
                self.original,
                model,
                samples,
                batch_size=batch_size(self.imported, samples),
                threads=self.threads,
                task=self.task,
                seed=candidate.recipe.seed,
                progress=self.clock.progress,
            )


def timed_inputs(samples: Samples, settings: BenchmarkSettings) -> dict[str, NDArray[Any]]:
    """What a benchmark runs on, by input: the first samples, again and again where there are too few.

    Raises InvalidRecipe for a batch where the model takes none, and for a shape of an input that it does not have.
    """
    if settings.batch > 1 and not samples.stacked:
        raise InvalidRecipe("benchmark.batch: the model takes one sample at a time.", hint="Leave it at 1.")
    numbers = [number % samples.count for number in range(settings.batch)]
    inputs = dict(samples.take(numbers).batch(0, settings.batch))
    if unknown := sorted(settings.shapes.keys() - inputs.keys()):
        raise InvalidRecipe(f"benchmark.shapes: there is no input {unknown[0]!r}.", hint=f"Inputs: {', '.join(inputs)}.")
    return {name: np.resize(value, settings.shapes.get(name, value.shape)) for name, value in inputs.items()}


def _probes(imported: Imported) -> list[NDArray[Any]]:
    """A value for every input, of a size that calibrates."""
    return [entry.draw(np.random.default_rng([PROBE, number])) for number, entry in enumerate(imported.inputs)]


def _kept_small(compressed: Compressed) -> Compressed:
    """Without the original weights: candidates are kept side by side."""
    return replace(compressed, results=tuple(map(_without_original, compressed.results)))


def _without_original(result: LayerResult) -> LayerResult:
    """A result that knows how many weights there were, not which."""
    return replace(result, original=np.broadcast_to(np.float32(0), result.original.shape))


def _metadata(recipe: Recipe, imported: Imported) -> dict[str, str]:
    """What the model's bytes depend on, and nothing that they do not: it is written into them."""
    return {
        "recipe": recipe.model_dump_json(by_alias=True, include=MAKING),
        "model_sha256": imported.sha256,
        "seed": str(recipe.seed),
    }
