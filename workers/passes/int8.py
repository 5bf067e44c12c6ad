"""8-bit weights and activations: NNCF quantises, and what every layer has lost is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from traceback import walk_tb

import nncf
import numpy as np
import openvino as ov

from workers.engine.layer import LayerResult
from workers.errors import NotQuantizable, OutOfMemory
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, read_weight
from workers.ir.graph.folding import folded
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import Indices, Layer, find_layers, nodes_by_name
from workers.ir.graph.norm_detection import normalises
from workers.ir.reading.error_translation import plain_sentence
from workers.methods.int8 import AdvancedParameters, Int8
from workers.passes.output_error import Drift, measure_drift
from workers.passes.quiet_nncf import Tell, quiet_nncf
from workers.passes.state import CompressionState, RunContext, StepProgress
from workers.recipe.skipped_layer import SkippedLayer


def rewrite(step: Int8, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Quantise the model and measure every quantised layer against the original.

    Raises NotQuantizable where NNCF refuses the model or finds nothing in it to quantise.
    """
    model = state.model
    own = excluded_operations(model, step.ignored_scope, context.origins)
    layers, _ = find_layers(model)
    ignored = [layer for layer in layers if {*own, *context.excluded} & set(layer.nodes)]
    candidates = [layer for layer in layers if layer not in ignored]
    biases = ensure_bias(model, candidates)
    names = {*own, *context.excluded, *(name for layer in ignored for name in layer.nodes)}
    quantised = _quantise(step, model, sorted(names), context, progress)
    chosen = [layer for layer in candidates if _is_quantised(_weight(quantised, layer))]
    if not any(_is_quantised(value.get_node()) for node in quantised.get_ops() for value in node.input_values()):
        raise NotQuantizable("NNCF finds no layer of the model to quantise.")
    samples = context.samples.take(range(min(step.subset_size, context.samples.count)))
    original = context.original.clone()
    ensure_bias(original, _in(original, chosen))
    channels = {layer.name: _channels(state, layer) for layer in chosen}
    outputs = {biases[name].add: layer for layer in chosen for name in layer.nodes}
    drifts = measure_drift(original, quantised, outputs, channels, samples, context.threads) if outputs else {}
    decoded = folded(quantised)
    results = {layer.name: _result(step, state, decoded, layer, biases, drifts[layer.name], samples.count) for layer in chosen}
    for result in results.values():
        context.on_layer(result)
    results = {**state.results, **results}
    left = [
        SkippedLayer(layer.name, layer.type, own[layer.name]) for layer in layers if layer.name in own.keys() - results.keys()
    ]
    return CompressionState(quantised, results, (*(_noted(entry, quantised) for entry in state.skipped), *left))


def _quantise(step: Int8, model: ov.Model, ignored: Sequence[str], context: RunContext, progress: StepProgress) -> ov.Model:
    samples = context.samples
    dataset = nncf.Dataset(range(samples.count), lambda number: samples.batch(number, number + 1))
    try:
        with quiet_nncf(_halving(progress), context.threads):
            return nncf.quantize(
                model,
                dataset,
                preset=nncf.QuantizationPreset(step.preset) if step.preset else None,
                target_device=nncf.TargetDevice(step.target_device),
                subset_size=min(step.subset_size, samples.count),
                fast_bias_correction=step.fast_bias_correction,
                model_type=_model_type(step, model),
                ignored_scope=nncf.IgnoredScope(names=list(ignored), validate=False),
                advanced_parameters=_advanced(step.advanced_parameters),
            )
    except Exception as error:
        if "bad_alloc" in str(error):
            raise OutOfMemory from error
        if not _raised_in_nncf(error):
            raise
        raise NotQuantizable(f"NNCF cannot quantise the model: {plain_sentence(str(error))}") from error


def _raised_in_nncf(error: Exception) -> bool:
    """Whether an error comes from NNCF, or what it calls, and not from the samples that we feed it with."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return any(name.startswith("nncf.") for name in frames) and not frames[-1].startswith("workers.")


def _model_type(step: Int8, model: ov.Model) -> nncf.ModelType | None:
    """Without care for layer normalisation NNCF quantises inside it, which can ruin a model."""
    careful = normalises(model) if step.model_type == "auto" else step.model_type == "transformer"
    return nncf.ModelType.TRANSFORMER if careful else None


def _advanced(knobs: AdvancedParameters) -> nncf.AdvancedQuantizationParameters:
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix(knobs.overflow_fix) if knobs.overflow_fix else None,
        quantize_outputs=knobs.quantize_outputs,
        disable_bias_correction=knobs.disable_bias_correction,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(**knobs.smooth_quant_alphas.model_dump()),
    )


def _halving(progress: StepProgress) -> Tell:
    """Each of NNCF's loops, whose number is not known, takes half of what is left."""
    seen: list[str] = []

    def tell(description: str, done: int, total: int) -> None:
        if not seen or seen[-1] != description:
            seen.append(description)
        left = 0.5 ** (len(seen) - 1)
        progress(round(1000 * (1 - left + left / 2 * done / max(total, 1))), 1000, message=f"int8: {description.lower()}")

    return tell


def _noted(entry: SkippedLayer, model: ov.Model) -> SkippedLayer:
    """An operation that no method reaches, with a note where NNCF has quantised its weights all the same."""
    node = nodes_by_name(model).get(entry.name)
    if node and any(_is_quantised(value.get_node()) for value in node.input_values()):
        return replace(entry, reason=f"{entry.reason}; int8 has quantised the weights, their error is not measured")
    return entry


def _weight(model: ov.Model, layer: Layer) -> ov.Node:
    return nodes_by_name(model)[layer.nodes[0]].input_value(layer.port).get_node()


def _in(model: ov.Model, layers: Sequence[Layer]) -> list[Layer]:
    """The layers as they are in another model, which may have more channels."""
    names = {layer.name for layer in layers}
    return [layer for layer in find_layers(model)[0] if layer.name in names]


def _channels(state: CompressionState, layer: Layer) -> Indices | None:
    """The output channels of the original that are left of a layer; None: all."""
    earlier = state.results.get(layer.name)
    return earlier.channels if earlier else None


def _is_quantised(weight: ov.Node) -> bool:
    """Whether a weight is 8-bit integers times scales, as NNCF writes it."""
    while weight.get_type_name() in ("Multiply", "Convert", "Reshape"):
        weight = weight.input_value(0).get_node()
    return bool(weight.get_type_name() == "Constant" and weight.get_element_type() == ov.Type.i8)


def _result(
    step: Int8,
    state: CompressionState,
    decoded: ov.Model,
    layer: Layer,
    biases: Mapping[str, Bias],
    drift: Drift,
    samples: int,
) -> LayerResult:
    """What became of a layer; `decoded` has its weight as one constant."""
    earlier = state.results.get(layer.name)
    return LayerResult(
        layer=layer,
        steps=(*earlier.steps, step) if earlier else (step,),
        original=earlier.original if earlier else read_weight(state.model, layer).astype(np.float64),
        weight=read_weight(decoded, layer).astype(np.float64),
        scale=None,
        biases={name: read_bias(decoded, biases[name]).astype(np.float64) for name in layer.nodes},
        relative_error=drift.relative_error,
        samples=samples,
        statistics=dict(earlier.statistics) if earlier else {},
        channels=earlier.channels if earlier else None,
    )
