"""One sweep of the engine over a workpiece, under the conditions of a job."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov

from workers.engine.independent import Apart
from workers.engine.sweep import CAUTION, DAMPING, FORGETFUL, LayerResult, Memory, Plan, compress
from workers.ir.reading.batching import rebatch
from workers.passes.state import Conditions, Progress, Workpiece


def sweep(
    workpiece: Workpiece,
    plan: Plan,
    conditions: Conditions,
    progress: Progress,
    *,
    memory: Memory = FORGETFUL,
    told: Callable[[LayerResult], None] = lambda result: None,
) -> list[LayerResult]:
    """Solve the planned layers of the workpiece's model in place, and tell `progress` and `told` of each."""
    done = 0

    def on_layer(result: LayerResult) -> None:
        nonlocal done
        done += 1
        told(result)
        progress(done, len(plan), result.layer.name)

    settings = _settings(workpiece, conditions) | {"memory": memory, "on_layer": on_layer}
    copy = batched(workpiece.model, conditions.batch_size)
    if conditions.apart:
        return Apart(workpiece.model, copy, plan, conditions.samples, **settings).compress()
    return compress(workpiece.model, copy, plan, conditions.samples, **settings)


def help_sweep(workpiece: Workpiece, plan: Plan, conditions: Conditions, memory: Memory) -> None:
    """Solve such layers of a sweep as another process has not claimed, for that process to take over."""
    copy = batched(workpiece.model, conditions.batch_size)
    Apart(workpiece.model, copy, plan, conditions.samples, **_settings(workpiece, conditions), memory=memory).help()


def _settings(workpiece: Workpiece, conditions: Conditions) -> dict[str, Any]:
    return {
        "batch_size": conditions.batch_size,
        "seed": conditions.seed,
        "threads": conditions.threads,
        "caution": DAMPING if conditions.samples.source == "dataset" else CAUTION,
        "stored": np.float16 if conditions.precision == "f16" else np.float32,
        "earlier": workpiece.results,
    }


def batched(model: ov.Model, size: int) -> ov.Model:
    """A copy of the model for `size` samples at once."""
    return rebatch(model, size) if size > 1 else model.clone()
