"""A recipe's steps applied to an imported model, in order.

Consecutive layer methods share one sweep of the engine; a pass ends it, and a method after the pass begins another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import openvino as ov

from workers.allocation.allocate import allocate
from workers.allocation.sensitivity_profile import (
    SensitivityProfile,
    Sweep,
    assign_levels,
    needs_profile,
    profile_sensitivities,
)
from workers.calibration import Samples
from workers.engine.cache import NO_CHECKPOINTS, Checkpoints
from workers.engine.sweep import LayerResult, Memory
from workers.errors import MissingExtra, NothingToCompress
from workers.ir.channels.net2net import deepen, widen
from workers.ir.graph.edit import read_weight
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import Layer, Skipped, find_layers
from workers.ir.reading.importer import Imported
from workers.methods.finetune import Finetune
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Array, Method, Pass, Step
from workers.methods.solvers.channel_selection import ChannelPruning
from workers.methods.super_network import SuperNetwork
from workers.passes import CompressionState, RunContext, StepProgress, TrainingRun, check_equivalence, rewrite
from workers.passes.layerwise import batched, help_sweep
from workers.passes.layerwise import sweep as solve
from workers.recipe import Recipe

MOST_SAMPLES_AT_ONCE = 64
MOST_VALUES_AT_ONCE = 2**20  # input elements of a batch

Settled = Sequence[tuple[Layer, tuple[Method, ...]]]  # layers to solve, and by what

GROWTH = 13  # of the seed: its draws are no other step's
UNTOUCHED = "the recipe's steps leave this layer as it is"


@dataclass(frozen=True, slots=True)
class CompressionPlan:
    """What a recipe will do to a model."""

    parts: tuple[Sweep | Pass, ...]
    layers: tuple[Layer, ...]  # that it may change
    skipped: tuple[Skipped, ...]  # weights that it does not reach, with the reason
    excluded: Mapping[str, str]  # operations to leave alone, and the rule of the ignored scope that says so
    larger: bool = False  # than the original, which is then to be seen to compute the same

    @property
    def work(self) -> int:
        """Layers to change, counted once for every sweep or pass."""
        return sum(map(self.share, self.parts))

    def share(self, part: Sweep | Pass) -> int:
        """The part of `work` that one of `parts` makes up."""
        return len(self.layers) if isinstance(part, Pass) else len(part)


@dataclass(frozen=True, slots=True)
class Compressed:
    """A model after the last step, and what became of its layers."""

    model: ov.Model
    results: tuple[LayerResult, ...]
    skipped: tuple[Skipped, ...]
    training: TrainingRun | None = None


class ProfileCache:
    """The profile of a model's layers, made when it is first asked for. What an earlier step has changed is weighed anew."""

    def __init__(self) -> None:
        self.known: SensitivityProfile | None = None

    def of(
        self, layers: Sequence[Layer], batched: ov.Model, state: CompressionState, context: RunContext
    ) -> SensitivityProfile:
        """Of these layers, of a sweep that begins with `state`."""
        if self.known and not state.results:
            return self.known
        made = profile_sensitivities(
            batched,
            layers,
            context.samples,
            batch_size=context.batch_size,
            seed=context.seed,
            threads=context.threads,
        )
        if not state.results:
            self.known = made
        return made


def enlarged(imported: Imported, recipe: Recipe) -> Imported:
    """The model that the other steps compress: a copy, made larger where the recipe asks for a super-network.

    Raises NotExtensible where that cannot be done.
    """
    model = imported.model.clone()
    step = recipe.steps[0]
    if isinstance(step, SuperNetwork):
        rng = np.random.default_rng([recipe.seed, GROWTH])
        if (width := step.width**step.phi) > 1:
            widen(model, find_layers(model)[0], width, rng)
        if (depth := step.depth**step.phi) > 1:
            deepen(model, find_layers(model)[0], depth)
    return replace(imported, model=model)


def make_plan(imported: Imported, recipe: Recipe) -> CompressionPlan:
    """Which layers of an `enlarged` model the recipe changes, by which methods, and what it leaves alone with the reason.

    Raises UnmatchedScope for a rule that matches nothing and NothingToCompress when no layer remains.
    """
    layers, skipped = find_layers(imported.model)
    excluded = excluded_operations(imported.model, recipe.ignored_scope)
    rules = {layer.name: excluded[name] for layer in layers for name in layer.nodes if name in excluded}
    chosen = tuple(layer for layer in layers if layer.name not in rules)
    skipped += [Skipped(layer.name, layer.type, rules[layer.name]) for layer in layers if layer.name in rules]
    weights = {layer.name: read_weight(imported.model, layer).astype(np.float64) for layer in chosen}
    parts = tuple(part for group in _groups(recipe.steps) if (part := _part(group, weights)))
    for step in recipe.steps:
        if isinstance(step, Finetune) and find_spec("torch") is None:
            raise MissingExtra("The step `finetune` needs torch.", hint="pip install 'fractune[finetune]' on the worker.")
        if isinstance(step, Int8):
            excluded_operations(imported.model, step.ignored_scope)  # a rule without a match is refused before anything runs
    if not chosen or not parts:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:5])
        raise NothingToCompress(f"No layer is left to compress ({reasons or 'the model has no layers with constant weights'}).")
    return CompressionPlan(parts, chosen, tuple(skipped), excluded, isinstance(recipe.steps[0], SuperNetwork))


def run(
    imported: Imported,
    original: ov.Model,
    plan: CompressionPlan,
    samples: Samples,
    *,
    seed: int,
    threads: int,
    on_layer: Callable[[LayerResult], None],
    progress: StepProgress,
    apart: bool = False,
    profiles: "ProfileCache | None" = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Compressed:
    """Take the steps of `plan` one after another; the imported model is consumed, `original` a copy of it.

    Several runs on the same model and samples may share their `profiles` and their `checkpoints`.
    """
    profiles = profiles or ProfileCache()
    size = batch_size(imported, samples)
    context = RunContext(original, samples, size, imported.precision, plan.excluded, seed, threads, on_layer, apart)
    state = CompressionState(imported.model, {}, plan.skipped)
    if plan.larger:
        check_equivalence(original, imported.model, context, "super_network")
        context = replace(context, original=imported.model.clone())  # the same, layer by layer comparable
    done = 0
    for number, part in enumerate(plan.parts):
        tell = _share(progress, done, plan.share(part), plan.work)
        place = _place(plan, number, context)
        if isinstance(part, Pass):
            state = _rewrite(part, state, replace(context, folder=checkpoints.at(place).folder), tell)
        else:
            state = _sweep(part, state, context, profiles, checkpoints.at(place), tell)
        done += plan.share(part)
    known = {*state.results, *(entry.name for entry in state.skipped)}
    untouched = [layer for layer in plan.layers if layer.name not in known]
    skipped = (*state.skipped, *(Skipped(layer.name, layer.type, UNTOUCHED) for layer in untouched))
    return Compressed(state.model, tuple(state.results.values()), skipped, state.training)


def assist(
    imported: Imported, plan: CompressionPlan, samples: Samples, *, seed: int, threads: int, checkpoints: Checkpoints
) -> None:
    """Help another process with the first sweep of the same plan, if it begins with one whose layers are solved apart."""
    sweep = plan.parts[0]
    if isinstance(sweep, Pass):
        return
    size = batch_size(imported, samples)
    original, told = imported.model.clone(), lambda result: None
    context = RunContext(original, samples, size, imported.precision, plan.excluded, seed, threads, told, apart=True)
    state = CompressionState(imported.model, {}, plan.skipped)
    settled = _settled(sweep, state, context, ProfileCache())
    help_sweep(state, settled, context, checkpoints.at(_place(plan, 0, context)))


def _place(plan: CompressionPlan, number: int, context: RunContext) -> dict[str, object]:
    """All that tells a part of a plan from others, in JSON values."""
    return {
        "steps": list(map(_described, plan.parts[: number + 1])),
        "seed": context.seed,
        "threads": context.threads,
        "batch": context.batch_size,
        "apart": context.apart,
    }


def batch_size(imported: Imported, samples: Samples) -> int:
    """How many samples to run at once: one for a model that takes no batches."""
    if not samples.stacked:
        return 1
    values = sum(int(np.prod(entry.shape)) for entry in imported.inputs)
    return max(1, min(MOST_SAMPLES_AT_ONCE, samples.count, MOST_VALUES_AT_ONCE // max(values, 1)))


def _groups(steps: Iterable[Step]) -> list[list[Step]]:
    """Consecutive methods together, every pass by itself."""
    groups: list[list[Step]] = []
    for step in map(_carried_out, steps):
        if isinstance(step, SuperNetwork):
            continue
        if groups and isinstance(step, Method) and isinstance(groups[-1][0], Method):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _carried_out(step: Step) -> Step:
    """Whole channels are no matter of one layer: they are chosen and removed by a pass."""
    if not isinstance(step, LayerwisePruning) or step.pattern != "channel":
        return step
    return ChannelPruning(sparsity_level=step.sparsity_level, allocation=step.allocation, budget=step.budget)


def _part(group: Sequence[Step], weights: Mapping[str, Array]) -> Sweep | Pass:
    if isinstance(group[0], Pass):
        return group[0]
    budgets = [allocate(step, weights) for step in group if isinstance(step, Method) and weights]
    sweep = {name: tuple(budget[name] for budget in budgets if name in budget) for name in weights}
    return {name: methods for name, methods in sweep.items() if methods}


def _described(part: Sweep | Pass) -> object:
    """A part of a plan with all its knobs, in JSON values."""
    if isinstance(part, Pass):
        return part.model_dump(mode="json", by_alias=True)
    return {name: [method.model_dump(mode="json", by_alias=True) for method in methods] for name, methods in part.items()}


def _rewrite(step: Pass, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    before = state.model.clone()
    done = rewrite(step, state, context, progress)
    if step.exact:
        check_equivalence(before, done.model, context, step.method)
    return done


def _sweep(
    sweep: Sweep,
    state: CompressionState,
    context: RunContext,
    profiles: "ProfileCache",
    memory: Memory,
    progress: StepProgress,
) -> CompressionState:
    """Solve the layers that are still there; what they are to reproduce is the model as it stands."""
    plan = _settled(sweep, state, context, profiles)
    solved = solve(state, plan, context, progress, memory=memory, told=context.on_layer)
    return replace(state, results={**state.results, **{result.layer.name: result for result in solved}})


def _settled(sweep: Sweep, state: CompressionState, context: RunContext, profiles: ProfileCache) -> Settled:
    """The layers that are still there, with their methods; levels that wait for a profile are settled."""
    layers = [layer for layer in find_layers(state.model)[0] if layer.name in sweep]
    if needs_profile(sweep):
        sweep = assign_levels(sweep, profiles.of(layers, batched(state.model, context.batch_size), state, context))
    return [(layer, sweep[layer.name]) for layer in layers if sweep[layer.name]]


def _share(progress: StepProgress, before: int, share: int, whole: int) -> StepProgress:
    """Tells `progress`, which counts to `whole`, how far a step is that makes up `share` of it, after `before` of it."""

    def tell(done: int, total: int, layer: str | None = None, message: str = "") -> None:
        progress(before + share * done // max(total, 1), whole, layer, message)

    return tell
