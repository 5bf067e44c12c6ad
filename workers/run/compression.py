"""A plan carried out: its parts taken one after another, each on what the one before has left."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov

from workers.allocation.bit_profile import BIT_PROFILERS, assign_bits, shared_bits
from workers.allocation.channel_profile import profile_channels
from workers.allocation.profile_cache import ProfileCache
from workers.allocation.sensitivity_profile import assign_levels, needs_profile, profiler_for
from workers.calibration import Samples
from workers.engine.cache import JobCache, LayerCache
from workers.engine.layer import LayerResult
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import TABLE, Layer, find_layers, find_tables
from workers.ir.reading.importer import Imported
from workers.methods.problem import Method, Step
from workers.passes import CompressionState, RunContext, StepProgress, TrainingRun, check_equivalence, rewrite, tell_nobody
from workers.passes.embedding_tables import store_tables
from workers.passes.layerwise import help_solving, solve_layers
from workers.recipe.skipped_layer import SkippedLayer
from workers.run.plan import CompressionPlan, LayerMethods, Part

MOST_SAMPLES_AT_ONCE = 64
MOST_VALUES_AT_ONCE = 2**20  # input elements of a batch

UNTOUCHED = "the recipe's steps leave this layer as it is"
HELD_NEAR = ", and kept nearer to what it was for those that do not multiply by it as that layer does"
MOST_NAMED = 4  # operations
SPARED = "`allocation: optimal` puts no zeros here: the layer holds few of the weights, or its outputs matter most"


@dataclass(frozen=True, slots=True)
class Compressed:
    """A model after the last step, and what became of its layers."""

    model: ov.Model
    results: tuple[LayerResult, ...]
    skipped: tuple[SkippedLayer, ...]
    training: TrainingRun | None = None
    quantised: CompressionState | None = None  # the last state, where operations can still be taken back from int8
    notes: tuple[str, ...] = ()  # for the report


def make_context(
    plan: CompressionPlan,
    original: ov.Model,
    samples: Samples,
    *,
    seed: int,
    threads: int,
    independent: bool = False,
    early_stopping: Samples | None = None,
    on_layer: Callable[[LayerResult], None] = lambda result: None,
) -> RunContext:
    """What all parts of a plan share; `original` is the model as it was imported."""
    size, precision = batch_size(plan.imported, samples), plan.imported.precision
    return RunContext(
        original,
        samples,
        size,
        precision,
        plan.excluded,
        plan.imported.origins,
        seed,
        threads,
        on_layer,
        independent,
        early_stopping=early_stopping,
    )


def compress_model(
    plan: CompressionPlan,
    context: RunContext,
    progress: StepProgress = tell_nobody,
    profiles: ProfileCache | None = None,
    cache: JobCache | None = None,
) -> Compressed:
    """Take the parts of `plan` one after another, on a copy of its model.

    Several runs on the same model and samples may share their `profiles` and their `cache`.
    """
    profiles, cache = profiles or ProfileCache(), cache or JobCache(None)
    state = CompressionState(plan.imported.model.clone(), {}, plan.skipped)
    if plan.growth:
        check_equivalence(context.original, state.model, context, plan.growth.method)
        context = replace(context, original=state.model.clone())  # the same, layer by layer comparable
    done = 0
    for number, part in enumerate(plan.parts):
        tell = _part_of(progress, done, plan.work_of(part), plan.work)
        place = _place(plan, number, context)
        if isinstance(part, Step):
            narrowed = replace(_narrowed(context, part, state), folder=cache.folder(place))
            state = _rewrite(part, state, *_weighed(part, state, narrowed, profiles, tell))
        else:
            state = _solve(_left(part, state, context, profiles), state, context, cache.at(place), tell)
        done += plan.work_of(part)
    return compressed_by(plan, state)


def waits_for_profile(plan: CompressionPlan) -> bool:
    """Whether levels or bits of the first part of a plan wait for a profile of the layers as they are."""
    methods = plan.parts[0]
    return not isinstance(methods, Step) and (needs_profile(methods) or bool(shared_bits(methods)))


def profile_first(plan: CompressionPlan, context: RunContext, profiles: ProfileCache, progress: StepProgress) -> None:
    """Make the profiles that the first part of a plan waits for."""
    methods = plan.parts[0]
    assert not isinstance(methods, Step)
    _left(methods, CompressionState(plan.imported.model.clone(), {}, plan.skipped), context, profiles, progress)


def compressed_by(plan: CompressionPlan, state: CompressionState) -> Compressed:
    """What a last state comes to."""
    skipped = (*state.skipped, *_untouched(plan, state))
    quantised = state if state.unquantised else None
    notes = (*state.notes, *_shared_weights(plan, state))
    return Compressed(state.model, tuple(state.results.values()), skipped, state.training, quantised, notes)


def _shared_weights(plan: CompressionPlan, state: CompressionState) -> Iterator[str]:
    """What is to be said of the weights that several operations read."""
    for layer in plan.layers:
        if layer.name not in state.results or len(layer.readers) == 1:
            continue
        more = len(layer.readers) - MOST_NAMED
        named = ", ".join(layer.readers[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"One weight is read by {named}, and stays one: it is the layer {layer.name}{HELD_NEAR if layer.others else ''}."


def help_compression(plan: CompressionPlan, context: RunContext, cache: JobCache) -> None:
    """Help another process with the first part of the same plan, if its layers are solved independently."""
    part = plan.parts[0]
    if isinstance(part, Step):
        return
    state = CompressionState(plan.imported.model.clone(), {}, plan.skipped)
    layers = [(layer, methods) for layer, methods in _left(part, state, context, ProfileCache()) if layer.geometry is not TABLE]
    help_solving(state, layers, context, cache.at(_place(plan, 0, context)))


def solve_ahead(plan: CompressionPlan, context: RunContext, cache: JobCache, progress: StepProgress) -> None:
    """Solve the layers of a plan for the process that does the job; steps after the last of them are left to it."""
    last = max(number for number, part in enumerate(plan.parts) if not isinstance(part, Step))
    compress_model(replace(plan, parts=plan.parts[: last + 1]), context, progress, ProfileCache(cache), cache)


def batch_size(imported: Imported, samples: Samples) -> int:
    """How many samples to run at once: one for a model that takes no batches."""
    if not samples.stacked:
        return 1
    values = sum(int(np.prod(entry.shape)) for entry in imported.inputs)
    return max(1, min(MOST_SAMPLES_AT_ONCE, samples.count, MOST_VALUES_AT_ONCE // max(values, 1)))


def _place(plan: CompressionPlan, number: int, context: RunContext) -> dict[str, object]:
    """All that tells a part of a plan from others, in JSON values."""
    return {
        "steps": list(map(_described, plan.parts[: number + 1])),
        "seed": context.seed,
        "threads": context.threads,
        "batch": context.batch_size,
        "independent": context.independent,
    }


def _described(part: Part) -> object:
    """A part of a plan with all its knobs, in JSON values."""
    if isinstance(part, Step):
        return part.model_dump(mode="json", by_alias=True)
    return {name: [method.model_dump(mode="json", by_alias=True) for method in methods] for name, methods in part.items()}


def _narrowed(context: RunContext, step: Step, state: CompressionState) -> RunContext:
    """The context with what the step's own scope leaves alone. `int8` and its like see to theirs, and say so in the report."""
    if not isinstance(step, Method):
        return context
    own = excluded_operations(state.model, step.ignored_scope, context.origins)
    return replace(context, excluded={**own, **context.excluded})


def _weighed(
    step: Step, state: CompressionState, context: RunContext, profiles: ProfileCache, progress: StepProgress
) -> tuple[RunContext, StepProgress]:
    """The context with what each layer's errors harm, where a step chooses by that, and its progress once that is known."""
    if not isinstance(step, Method) or not step.measures:
        return context, progress
    layers = [layer for layer in find_layers(state.model)[0] if not set(layer.readers) & context.excluded.keys()]
    count = len(layers)
    profile = profiles.of(profile_channels, layers, state, context, _part_of(progress, 0, count, 3 * count))
    return replace(context, harms=profile.harm_of()), _part_of(progress, count, 2 * count, 3 * count)


def _rewrite(step: Step, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    before = state.model.clone()
    done = rewrite(step, state, context, progress)
    if step.exact:
        check_equivalence(before, done.model, context, step.method)
    return done


def _left(
    methods: LayerMethods,
    state: CompressionState,
    context: RunContext,
    profiles: ProfileCache,
    progress: StepProgress = tell_nobody,
) -> list[tuple[Layer, tuple[Method, ...]]]:
    """The layers that are still there, with their methods; levels that wait for a profile are assigned."""
    layers = [layer for layer in [*find_layers(state.model)[0], *find_tables(state.model)] if layer.name in methods]
    if needs_profile(methods):
        weighed = [layer for layer in layers if any(method.measured_level is not None for method in methods[layer.name])]
        methods = assign_levels(methods, profiles.of(profiler_for(methods), weighed, state, context, progress))
    products = [layer for layer in layers if layer.geometry is not TABLE]
    for levels, profiler in BIT_PROFILERS.items():
        sharing = shared_bits({layer.name: methods[layer.name] for layer in products}, levels)
        if shared := [layer for layer in products if layer.name in sharing]:
            methods = assign_bits(methods, profiles.of(profiler, shared, state, context, progress), levels)
    return [(layer, methods[layer.name]) for layer in layers if methods[layer.name]]


def _solve(
    plan: list[tuple[Layer, tuple[Method, ...]]],
    state: CompressionState,
    context: RunContext,
    cache: LayerCache,
    progress: StepProgress,
) -> CompressionState:
    """Solve layers; what they are to reproduce is the model as it stands."""
    tables = [(layer, methods) for layer, methods in plan if layer.geometry is TABLE]
    layers = [(layer, methods) for layer, methods in plan if layer.geometry is not TABLE]
    solved = list(solve_layers(state, layers, context, progress, cache, context.on_layer)) if layers else []
    solved += store_tables(state, tables, context.on_layer)
    return replace(state, results={**state.results, **{result.layer.name: result for result in solved}})


def _untouched(plan: CompressionPlan, state: CompressionState) -> list[SkippedLayer]:
    """The layers that no step has changed."""
    known: Mapping[str, object] = {**state.results, **{entry.name: entry for entry in state.skipped}}
    left = [layer for layer in plan.layers if layer.name not in known]
    methods = [part for part in plan.parts if not isinstance(part, Step)]
    weighed = {name for part in methods for name, each in part.items() if any(step.measured_level is not None for step in each)}
    reasons = {**dict.fromkeys(weighed, SPARED), **plan.left}
    return [SkippedLayer(layer.name, layer.type, reasons.get(layer.name, UNTOUCHED)) for layer in left]


def _part_of(progress: StepProgress, before: int, share: int, whole: int) -> StepProgress:
    """Tells `progress`, which counts to `whole`, how far a part is that makes up `share` of it, after `before` of it."""

    def tell(done: int, total: int, layer: str | None = None, message: str = "") -> None:
        progress(before + share * done // max(total, 1), whole, layer, message)

    return tell
