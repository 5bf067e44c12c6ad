"""One sweep of the engine over a state, under the context of a job."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov

from workers.engine.independent import Apart
from workers.engine.sweep import DAMPING, FORGETFUL, SYNTHETIC_LAST_DAMPING, LayerResult, Memory, Plan, compress
from workers.ir.reading.batching import rebatch
from workers.passes.state import CompressionState, RunContext, StepProgress


def sweep(
    state: CompressionState,
    plan: Plan,
    context: RunContext,
    progress: StepProgress,
    *,
    memory: Memory = FORGETFUL,
    told: Callable[[LayerResult], None] = lambda result: None,
) -> list[LayerResult]:
    """Solve the planned layers of the state's model in place, and tell `progress` and `told` of each."""
    done = 0

    def on_layer(result: LayerResult) -> None:
        nonlocal done
        done += 1
        told(result)
        progress(done, len(plan), result.layer.name)

    settings = _settings(state, context) | {"memory": memory, "on_layer": on_layer}
    copy = batched(state.model, context.batch_size)
    if context.apart:
        return Apart(state.model, copy, plan, context.samples, **settings).compress()
    return compress(state.model, copy, plan, context.samples, **settings)


def help_sweep(state: CompressionState, plan: Plan, context: RunContext, memory: Memory) -> None:
    """Solve such layers of a sweep as another process has not claimed, for that process to take over."""
    copy = batched(state.model, context.batch_size)
    Apart(state.model, copy, plan, context.samples, **_settings(state, context), memory=memory).help()


def _settings(state: CompressionState, context: RunContext) -> dict[str, Any]:
    return {
        "batch_size": context.batch_size,
        "seed": context.seed,
        "threads": context.threads,
        "last_damping": DAMPING if context.samples.source == "dataset" else SYNTHETIC_LAST_DAMPING,
        "stored": np.float16 if context.precision == "f16" else np.float32,
        "earlier": state.results,
    }


def batched(model: ov.Model, size: int) -> ov.Model:
    """A copy of the model for `size` samples at once."""
    return rebatch(model, size) if size > 1 else model.clone()
