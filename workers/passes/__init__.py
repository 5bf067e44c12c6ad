"""Steps that rewrite the graph. Each is a module with a function `rewrite`; `state` has the interface."""

from contextlib import nullcontext
from importlib import import_module
from typing import Any

from workers.methods.finetune import Finetune
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq_activations import McqActivations
from workers.methods.problem import Step
from workers.methods.weight_compression import WeightCompression
from workers.passes.hidden_frameworks import only_openvino
from workers.passes.output_error import check_equivalence
from workers.passes.state import CompressionState, RunContext, StepProgress, TrainingRun, tell_nobody

# Modules, loaded when a recipe names the step: NNCF alone takes as long to import as OpenVINO, and torch need not be there.
REWRITES: dict[type[Step], str] = {
    LayerwisePruning: "workers.passes.channel_pruning",
    Finetune: "workers.passes.finetune",
    Int8: "workers.passes.int8",
    McqActivations: "workers.passes.mcq_activations",
    WeightCompression: "workers.passes.weight_compression",
}


def rewrite(step: Step, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """The state as a pass leaves it."""
    done: CompressionState = _module(step).rewrite(step, state, context, progress)
    return done


def measure_again(step: Step, state: CompressionState, context: RunContext) -> CompressionState:
    """The state of `int8` with what became of its layers, once operations were taken back."""
    done: CompressionState = _module(step).measured(step, state, context)
    return done


def _module(step: Step) -> Any:
    with nullcontext() if isinstance(step, Finetune) else only_openvino():
        return import_module(REWRITES[type(step)])


__all__ = [
    "REWRITES",
    "RunContext",
    "StepProgress",
    "TrainingRun",
    "CompressionState",
    "check_equivalence",
    "measure_again",
    "rewrite",
    "tell_nobody",
]
