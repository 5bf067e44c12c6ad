"""One run of the engine over a state, in the context of a job."""

from collections.abc import Callable, Sequence

from workers.engine.cache import NO_CACHE, LayerCache
from workers.engine.independent import IndependentLayers
from workers.engine.layer import LayerPlan, LayerResult, make_tasks
from workers.engine.sequential import compress_sequentially
from workers.ir.reading.batching import batched
from workers.passes.state import CompressionState, RunContext, StepProgress


def solve_layers(
    state: CompressionState,
    plan: LayerPlan,
    context: RunContext,
    progress: StepProgress,
    cache: LayerCache = NO_CACHE,
    told: Callable[[LayerResult], None] = lambda result: None,
) -> Sequence[LayerResult]:
    """Solve the planned layers of the state's model in place, and tell `progress` and `told` of each."""
    tasks = make_tasks(state.model, plan, state.results)
    done = 0

    def on_layer(result: LayerResult) -> None:
        nonlocal done
        done += 1
        told(result)
        progress(done, len(tasks), result.layer.name)

    copy = batched(state.model, context.batch_size)
    if context.independent:
        return IndependentLayers(state.model, copy, tasks, context.samples, context.engine, cache, on_layer).compress()
    return compress_sequentially(state.model, copy, tasks, context.samples, context.engine, cache, on_layer)


def help_solving(state: CompressionState, plan: LayerPlan, context: RunContext, cache: LayerCache) -> None:
    """Solve such layers as another process has not claimed, for that process to take over."""
    tasks = make_tasks(state.model, plan, state.results)
    copy = batched(state.model, context.batch_size)
    IndependentLayers(state.model, copy, tasks, context.samples, context.engine, cache).help()
