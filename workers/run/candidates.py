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
from workers.ir.graph.states import expose_states, restore_states
from workers.ir.reading.batching import rebatch
from workers.ir.reading.importer import Imported
from workers.ir.writing.exporter import Exported, export
from workers.ir.writing.reopening import reopen
from workers.jobs.job import Stage
from workers.methods.int8 import Int8
from workers.passes import RunContext, measure_again
from workers.passes.reversion import taken_back
from workers.randomness import Stream, generator
from workers.recipe import BenchmarkSettings, Recipe
from workers.report import Benchmark
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
from workers.statistics.constraint import CONFIDENCE, Drop, Verdict, measured_drop, verify_constraint

PROBE = 23  # of the seed of values on which a written model is compared with what was meant

# The parts of a recipe that make the model.
MAKING = {"steps", "calibration", "calibrate_on", "preprocessing", "ignored_scope", "shapes", "batch", "seed"}


@dataclass(slots=True)
class Candidate:
    """A model that a recipe made, and what is known of it so far."""

    recipe: Recipe
    setting: float  # of the knob that a search varies
    compressed: Compressed
    exported: Exported
    seconds: float
    estimate: Comparison | None = None  # on the samples that select
    expected: Drop | None = None  # in the constraint's metric, on the same samples
    comparison: Comparison | None = None  # on the samples that judge
    on_fractals: Comparison | None = None  # on held-out fractals, for comparison with the same on data
    verdict: Verdict | None = None
    benchmark: Benchmark | None = None
    warnings: tuple[str, ...] = ()  # of what it does not keep of the original's interface
    doubts: tuple[str, ...] = ()  # whether the runtime answers a sample alike however it is given

    @property
    def seen(self) -> Comparison:
        """On the samples that select; on those that judge for one that was judged at once."""
        seen = self.estimate or self.comparison
        assert seen is not None  # made by an Explorer
        return seen

    @property
    def sparsity(self) -> float:
        """Share of the original weights of compressed layers that are exactly zero or were removed."""
        results = self.compressed.results
        left = sum(int(np.count_nonzero(result.weight)) for result in results)
        return 1 - left / max(sum(result.original.size for result in results), 1) if results else 0.0

    def read(self) -> ov.Model:
        """The model as it was written; its state is given and returned, so that it can be compared sample by sample."""
        return expose_states(ov.Core().read_model(self.exported.xml))[0]


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

    def make(self, recipe: Recipe, folder: Path, setting: float = 0.0) -> Candidate:
        """Compress by `recipe` and write `folder`/1/model.xml and .bin."""
        began = time.perf_counter()
        self.profile(recipe)
        plan = self.plan.with_steps(recipe.steps)
        with self.clock.run(Stage.COMPRESS, plan.work):
            compressed = compress_model(plan, self._context(recipe), self.clock.progress, self.profiles, self.cache)
        return self._export(compressed, recipe, folder, setting, began)

    def profile(self, recipe: Recipe) -> None:
        """Make the profile that levels or bits of a recipe wait for; one serves all candidates."""
        plan = self.plan.with_steps(recipe.steps)
        if waits_for_profile(plan) and self.profiles.empty:
            with self.clock.run(Stage.SENSITIVITY):
                profile_first(plan, self._context(recipe), self.profiles, self.clock.progress)

    def take_back(self, whole: Candidate, recipe: Recipe, folder: Path, setting: float) -> Candidate:
        """The model that `recipe` makes, from `whole`, which differs in what its `int8` takes back to floating point alone."""
        began = time.perf_counter()
        step, state = recipe.steps[-1], whole.compressed.quantised
        assert isinstance(step, Int8)
        assert state is not None  # it ends with int8
        with self.clock.run(Stage.COMPRESS, 1):
            compressed = compressed_by(self.plan.with_steps(recipe.steps), taken_back(state, step.reverted))
        return self._export(compressed, recipe, folder, setting, began)

    def measure_layers(self, candidate: Candidate) -> None:
        """Measure the layers of a candidate that was made from another one."""
        state = candidate.compressed.quantised
        assert state is not None  # it ends with int8
        with self.clock.run(Stage.COMPRESS, 1):
            step, context = candidate.recipe.steps[-1], self._context(candidate.recipe)
            compressed = compressed_by(self.plan.with_steps(candidate.recipe.steps), measure_again(step, state, context))
        candidate.compressed = replace(compressed, results=tuple(map(_without_original, compressed.results)))

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
            exported = export(model, layers, folder, _metadata(recipe, given), _probes(given))
        compressed = replace(compressed, results=tuple(map(_without_original, compressed.results)))
        return Candidate(recipe, setting, compressed, exported, time.perf_counter() - began, warnings=warnings)

    def select(self, candidate: Candidate, samples: Samples) -> None:
        """Estimate the fidelity of a candidate on samples that select."""
        candidate.estimate = self._compare(candidate, samples)
        constraint = candidate.recipe.constraint
        candidate.expected = measured_drop(constraint, candidate.estimate.outcomes, self.confidence) if constraint else None

    def judge(self, candidate: Candidate) -> None:
        """Compare a candidate with the original on the samples that judge, and decide on its constraint."""
        candidate.comparison = self._compare(candidate, self.splits.test)
        size = batch_size(self.imported, self.splits.test)
        candidate.doubts = doubts(candidate.read(), self.splits.test, size, self.threads)
        if self.splits.fractal_holdout is not None:
            candidate.on_fractals = self._compare(candidate, self.splits.fractal_holdout)
        if constraint := candidate.recipe.constraint:
            candidate.verdict = verify_constraint(constraint, candidate.comparison.outcomes, self.confidence)

    def time(self, candidate: Candidate, settings: BenchmarkSettings) -> None:
        """Time a candidate beside the original."""
        model = candidate.read()
        inputs = timed_inputs(self.splits.test, settings)
        original = rebatch(self.original, settings.batch) if settings.batch > 1 else self.original
        rng = generator(candidate.recipe.seed, Stream.BENCHMARK)
        with self.clock.run(Stage.BENCHMARK, settings.niter):
            candidate.benchmark = compare_speed(
                original, model, inputs, settings, rng, batch_size=settings.batch, progress=self.clock.progress
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


def _without_original(result: LayerResult) -> LayerResult:
    """A result that knows how many weights there were, not which: candidates are kept side by side."""
    return replace(result, original=np.broadcast_to(np.float32(0), result.original.shape))


def _metadata(recipe: Recipe, imported: Imported) -> dict[str, str]:
    """What the model's bytes depend on, and nothing that they do not: it is written into them."""
    return {
        "recipe": recipe.model_dump_json(by_alias=True, include=MAKING),
        "model_sha256": imported.sha256,
        "seed": str(recipe.seed),
    }
