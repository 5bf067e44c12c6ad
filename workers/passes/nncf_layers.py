"""What NNCF may touch in a model, what it has made of every layer, and what a layer has lost by that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from traceback import walk_tb

import nncf
import numpy as np
import openvino as ov

from workers.engine.layer import LayerResult
from workers.errors import FractuneError, NotQuantizable, OutOfMemory
from workers.ir.graph.constants import is_decoded
from workers.ir.graph.edit import Bias, read_bias, read_weight
from workers.ir.graph.folding import folded
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import Indices, Layer, find_layers, nodes_by_name
from workers.ir.reading.error_translation import plain_sentence
from workers.methods.ignored_scope import IgnoredScope
from workers.methods.problem import Array, Step
from workers.passes.output_error import Drift
from workers.passes.quiet_nncf import Tell
from workers.passes.reversion import SMOOTHING
from workers.passes.state import CompressionState, RunContext, StepProgress
from workers.recipe.skipped_layer import SkippedLayer


@dataclass(frozen=True, slots=True)
class Reach:
    """What a step may touch of a model."""

    candidates: tuple[Layer, ...]
    left: tuple[SkippedLayer, ...]  # that the step's own scope leaves alone
    ignored: tuple[str, ...]  # operations, for NNCF

    def with_left(self, names: Iterable[str]) -> "Reach":
        """The same, with more operations to leave alone."""
        return replace(self, ignored=(*self.ignored, *names))

    @property
    def scope(self) -> nncf.IgnoredScope:
        """As NNCF takes it."""
        return nncf.IgnoredScope(names=list(self.ignored), validate=False)


def reach_of(own: IgnoredScope, state: CompressionState, context: RunContext) -> Reach:
    """What is left to a step by its own scope and the recipe's. Raises UnmatchedScope."""
    rules = excluded_operations(state.model, own, context.origins)
    layers, _ = find_layers(state.model)
    ignored = [layer for layer in layers if {*rules, *context.excluded} & set(layer.readers)]
    names = {*rules, *context.excluded, *(name for layer in ignored for name in layer.readers)}
    left = [SkippedLayer(layer.name, layer.type, rules[layer.name]) for layer in layers if layer.name in rules]
    return Reach(tuple(layer for layer in layers if layer not in ignored), tuple(left), tuple(sorted(names)))


def refusal(error: Exception, doing: str) -> Exception:
    """What to raise for an error that came up in a call of NNCF; `doing` is what it cannot do."""
    if "bad_alloc" in str(error):
        return OutOfMemory()
    if isinstance(error, FractuneError) or not _raised_in_nncf(error):
        return error
    return NotQuantizable(f"NNCF cannot {doing} the model: {plain_sentence(str(error))}")


def halving(step: Step, progress: StepProgress) -> Tell:
    """Each of NNCF's loops, whose number is not known, takes half of what is left."""
    seen: list[str] = []

    def tell(description: str, done: int, total: int) -> None:
        if not seen or seen[-1] != description:
            seen.append(description)
        left = 0.5 ** (len(seen) - 1)
        message = f"{step.method}: {description.lower()}"
        progress(round(1000 * (1 - left + left / 2 * done / max(total, 1))), 1000, message=message)

    return tell


def compressed_layers(model: ov.Model, layers: tuple[Layer, ...]) -> list[Layer]:
    """Those whose weights are integers times scales now."""
    nodes = nodes_by_name(model)
    return [layer for layer in layers if is_decoded(nodes[layer.nodes[0]].input_value(layer.port).get_node())]


def holds_decoded(model: ov.Model) -> bool:
    """Whether anything in a model is compressed."""
    return any(is_decoded(value.get_node()) for node in model.get_ops() for value in node.input_values())


def changed_state(
    step: Step,
    state: CompressionState,
    model: ov.Model,
    reach: Reach,
    results: Mapping[str, LayerResult],
) -> CompressionState:
    """The state after the step; what no method reaches has a note where NNCF has compressed it all the same."""
    skipped = [_noted(step, entry, model) for entry in state.skipped]
    left = [entry for entry in reach.left if entry.name not in results]
    return CompressionState(model, {**state.results, **results}, (*skipped, *left))


def results_of(
    step: Step,
    state: CompressionState,
    model: ov.Model,
    drifts: Mapping[Layer, Drift],
    samples: int,
    biases: Mapping[str, Bias] | None = None,
) -> dict[str, LayerResult]:
    """What became of the layers, by name; `biases` are those of their operations, in as far as they may have changed."""
    decoded = folded(model)
    return {layer.name: _result(step, state, decoded, layer, drift, samples, biases or {}) for layer, drift in drifts.items()}


def smoothing(model: ov.Model, layer: Layer) -> Array:
    """What SmoothQuant multiplies the columns of a layer's weight by, (c,) or (1,); its inputs are divided by the same."""
    value = nodes_by_name(model)[layer.nodes[0]].input_value(1 - layer.port)
    while value.get_node().get_type_name() == "FakeQuantize":
        value = value.get_node().input_value(0)
    node = value.get_node()
    if not node.friendly_name.endswith(SMOOTHING):
        return np.ones(1)
    divided = node.input_value(1).get_node().get_data().reshape(-1).astype(np.float64)
    return 1 / divided if divided.size in (1, layer.cols) else np.ones(1)


def original_channels(state: CompressionState, layer: Layer) -> Indices | None:
    """The output channels of the original that are left of a layer; None: all."""
    earlier = state.results.get(layer.name)
    return earlier.channels if earlier else None


def _result(
    step: Step,
    state: CompressionState,
    decoded: ov.Model,
    layer: Layer,
    drift: Drift,
    samples: int,
    biases: Mapping[str, Bias],
) -> LayerResult:
    """What became of a layer; `decoded` has its weight as one constant. It is told for inputs as they were."""
    earlier = state.results.get(layer.name)
    return LayerResult(
        layer=layer,
        steps=(*earlier.steps, step) if earlier else (step,),
        original=earlier.original if earlier else read_weight(state.model, layer),
        weight=(read_weight(decoded, layer) / smoothing(decoded, layer)).astype(np.float32),
        scale=None,
        biases={name: read_bias(decoded, biases[name]).astype(np.float64) for name in layer.nodes if name in biases},
        relative_error=drift.relative_error,
        samples=samples,
        statistics=dict(earlier.statistics) if earlier else {},
        channels=earlier.channels if earlier else None,
    )


def _noted(step: Step, entry: SkippedLayer, model: ov.Model) -> SkippedLayer:
    node = nodes_by_name(model).get(entry.name)
    if node and any(is_decoded(value.get_node()) for value in node.input_values()):
        return replace(entry, reason=f"{entry.reason}; {step.method} has quantised the weights, their error is not measured")
    return entry


def _raised_in_nncf(error: Exception) -> bool:
    """Whether an error comes from NNCF, or what it calls, and not from the samples that we feed it with."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return any(name.startswith("nncf.") for name in frames) and not frames[-1].startswith("workers.")
