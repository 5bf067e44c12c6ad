"""Weights in 8 or 4 bits that are decoded as the model runs: NNCF compresses, and what every layer has lost is measured."""

from collections.abc import Iterator
from dataclasses import replace

import nncf
import openvino as ov
from nncf.quantization.advanced_parameters import GroupSizeFallbackMode

from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.errors import NotQuantizable
from workers.ir.graph.ignored_scope import excluded_operations
from workers.methods.weight_compression import BITS, WeightCompression
from workers.passes.nncf_layers import (
    Reach,
    changed_state,
    compressed_layers,
    halving,
    holds_decoded,
    original_channels,
    reach_of,
    refusal,
    results_of,
)
from workers.passes.output_error import MEASURED, measure_drift
from workers.passes.quiet_nncf import Tell, quiet_nncf
from workers.passes.state import CompressionState, RunContext, StepProgress


def rewrite(step: WeightCompression, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Compress the weights and measure every compressed layer against the original.

    Raises NotQuantizable where NNCF refuses the model or finds nothing in it to compress, UnmatchedScope for a rule without
    a match.
    """
    reach, tell = reach_of(step.ignored_scope, state, context), halving(step, progress)
    compressed, by_layer = state.model, dict[str, WeightCompression]()
    for knobs, others in _parts(step, state, context):
        compressed = _compress(knobs, compressed, replace(reach, ignored=(*reach.ignored, *others)), context, tell)
        by_layer = {layer.name: knobs for layer in compressed_layers(compressed, reach.candidates)} | by_layer
    if not holds_decoded(compressed):
        raise NotQuantizable("NNCF finds no weights of the model to compress.")
    chosen = compressed_layers(compressed, reach.candidates)
    few = context.samples.take(range(min(step.subset_size, context.samples.count, MEASURED)))
    channels = {layer.name: original_channels(state, layer) for layer in chosen}
    outputs = {name: layer for layer in chosen for name in layer.nodes}
    drifts = measure_drift(context.original, compressed, outputs, channels, few, context.threads) if chosen else {}
    results: dict[str, LayerResult] = {}
    for knobs in dict.fromkeys(by_layer.values()):
        here = {layer: drifts[layer.name] for layer in chosen if by_layer[layer.name] == knobs}
        results |= results_of(knobs, state, compressed, here, few.count)
    for result in results.values():
        context.on_layer(result)
    return changed_state(step, state, compressed, reach, results)


def _parts(
    step: WeightCompression, state: CompressionState, context: RunContext
) -> Iterator[tuple[WeightCompression, set[str]]]:
    """The knobs for some operations, and all operations but these; first those with settings of their own."""
    everything = {node.friendly_name for node in state.model.get_ops() if node.get_type_name() != "Constant"}
    free = set(everything)
    for settings in step.layers:
        selected = excluded_operations(state.model, settings.scope, context.origins).keys() & free
        yield step.set_for(settings), everything - selected
        free -= selected
    yield step.alike(), everything - free


def _compress(step: WeightCompression, model: ov.Model, reach: Reach, context: RunContext, tell: Tell) -> ov.Model:
    knobs = _four_bits(step, context.samples) if BITS[step.mode] == 4 else {}
    try:
        with quiet_nncf(tell, context.threads):
            return nncf.compress_weights(
                model.clone(),
                mode=nncf.CompressWeightsMode(step.mode),
                ignored_scope=reach.scope,
                subset_size=min(step.subset_size, context.samples.count),
                **knobs,
            )
    except Exception as error:
        raise refusal(error, "compress the weights of") from error


def _four_bits(step: WeightCompression, samples: Samples) -> dict[str, object]:
    """What NNCF takes for 4 bits only. Made-up samples have a say only where they are asked for one."""
    dataset = nncf.Dataset(range(samples.count), lambda number: samples.batch(number, number + 1))
    metric = step.sensitivity_metric
    return {
        "ratio": step.ratio,
        "group_size": step.group_size,
        "all_layers": step.all_layers,
        "awq": step.awq,
        "scale_estimation": step.scale_estimation,
        "gptq": step.gptq,
        "dataset": dataset if step.needs_samples or samples.source == "dataset" else None,
        "sensitivity_metric": nncf.SensitivityMetric(metric) if metric else None,
        "backup_mode": nncf.BackupMode(step.backup_mode) if step.backup_mode else None,
        "advanced_parameters": nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=GroupSizeFallbackMode(step.advanced_parameters.group_size_fallback_mode)
        ),
    }
