"""8-bit weights and activations: NNCF quantises, and what every layer has lost is measured."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path

import nncf
import openvino as ov

from workers.errors import NotQuantizable, Refusal
from workers.ir.graph.edit import Bias, ensure_bias
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import Layer, find_layers
from workers.ir.graph.norm_detection import normalises
from workers.ir.graph.runtime_faults import (
    doubtful_operations,
    masking_operations,
    select_by_flags,
    squeeze_after_reducing,
    vary_biases,
)
from workers.ir.graph.shapes import set_batch
from workers.ir.writing.writer import save_model
from workers.methods.ignored_scope import IgnoredScope
from workers.methods.int8 import AdvancedParameters, Int8
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
from workers.passes.output_error import MEASURED, Drift, measure_drift, output_errors
from workers.passes.quiet_nncf import quiet_nncf
from workers.passes.reversion import taken_back
from workers.passes.rounding import choose_integers
from workers.passes.state import CompressionState, RunContext, StepProgress

KEPT, MODEL, NOTES = "quantised", "model.xml", "notes.json"  # a folder, and what is in it
TRIED = 4  # samples
MOST_NAMED = 3
SOUND = 0.02  # of the squares of the outputs: what rounding to 8 bits costs, and no more


def rewrite(step: Int8, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Quantise the model, take back what is to be in floating point, and measure every quantised layer against the original.

    Raises NotQuantizable where NNCF refuses the model or finds nothing in it to quantise, UnmatchedScope for an operation to be
    taken back that is not there.
    """
    excluded_operations(state.model, IgnoredScope(names=step.reverted), context.origins)
    reach = reach_of(step.ignored_scope, state, context)
    ensure_bias(state.model, reach.candidates)
    squeeze_after_reducing(state.model)
    select_by_flags(state.model)
    quantised, notes = _kept(context.folder) or _made(step, state, reach, context, progress)
    whole = replace(changed_state(step, state, quantised, reach, {}), unquantised=state, notes=notes)
    done = measured(step, taken_back(whole, step.reverted), context)
    for result in done.results.values():
        if step in result.steps:
            context.on_layer(result)
    return done


def _made(
    step: Int8, state: CompressionState, reach: Reach, context: RunContext, progress: StepProgress
) -> tuple[ov.Model, tuple[str, ...]]:
    """The model with all that can be in int8, and what there is to say of it; kept for an attempt after this one."""
    quantised, notes = _tried(step, state.model, reach, context, progress)
    if not holds_decoded(quantised):
        raise NotQuantizable(" ".join(("NNCF finds no layer of the model to quantise.", *notes)))
    vary_biases(quantised)
    if step.rounding == "reconstruction":
        quantised, sentence = choose_integers(quantised, state, context)
        notes = (*notes, sentence)
    _keep(quantised, notes, context.folder)
    return quantised, notes


def _keep(quantised: ov.Model, notes: tuple[str, ...], folder: Path | None) -> None:
    """Leave the model in `folder`, where it appears whole or not at all."""
    if folder is None:
        return
    partial = folder / "quantised.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    save_model(quantised, partial / MODEL)
    (partial / NOTES).write_text(json.dumps(notes))
    shutil.rmtree(folder / KEPT, ignore_errors=True)  # which could not be read
    partial.replace(folder / KEPT)


def _kept(folder: Path | None) -> tuple[ov.Model, tuple[str, ...]] | None:
    """The model that an interrupted attempt has left, and what there is to say of it; None where none can be read."""
    kept = folder and folder / KEPT
    if not kept or not kept.is_dir():
        return None
    try:
        return ov.Core().read_model(kept / MODEL), tuple(json.loads((kept / NOTES).read_text()))
    except (OSError, RuntimeError, ValueError):
        return None


def measured(step: Int8, state: CompressionState, context: RunContext) -> CompressionState:
    """The state with what became of every quantised layer."""
    before = state.unquantised
    assert before is not None  # `rewrite` sets it
    chosen = compressed_layers(state.model, tuple(find_layers(before.model)[0]))
    biases = ensure_bias(before.model, chosen)
    samples = min(step.subset_size, context.samples.count, MEASURED)
    drifts = _drifts(chosen, biases, before, state.model, context, samples)
    return replace(state, results={**before.results, **results_of(step, before, state.model, drifts, samples, biases)})


def _drifts(
    chosen: Sequence[Layer],
    biases: dict[str, Bias],
    state: CompressionState,
    quantised: ov.Model,
    context: RunContext,
    samples: int,
) -> dict[Layer, Drift]:
    """How far the biased outputs of layers are from the original's."""
    if not chosen:
        return {}
    original = context.original.clone()
    ensure_bias(original, _in(original, chosen))
    channels = {layer.name: original_channels(state, layer) for layer in chosen}
    outputs = {biases[name].add: layer for layer in chosen for name in layer.nodes}
    few = context.samples.take(range(samples))
    drifts = measure_drift(original, quantised, outputs, channels, few, context.threads)
    return {layer: drifts[layer.name] for layer in chosen}


def _tried(
    step: Int8, model: ov.Model, reach: Reach, context: RunContext, progress: StepProgress
) -> tuple[ov.Model, tuple[str, ...]]:
    """The quantised model, without what OpenVINO does not run as it should once it is quantised, and what there is to say."""
    quantised = _quantise(step, model, reach, context, progress)
    doubtful = [name for name in doubtful_operations(model) if name not in reach.ignored]
    lost = _lost(model, quantised, context) if doubtful else 0.0
    if lost <= SOUND:
        return quantised, ()
    other = _quantise(step, model, reach.with_left(doubtful), context, progress)
    if _lost(model, other, context) > lost / 2:
        return quantised, ()
    how = f"loses {100 * lost:.0f} % of the outputs" if isfinite(lost) else "does not run it, or gives no numbers"
    named = ", ".join(doubtful[:MOST_NAMED]) + (" and others" if len(doubtful) > MOST_NAMED else "")
    return other, (f"int8 leaves {named} in floating point: once such a cell is quantised, OpenVINO {how}.",)


def _lost(model: ov.Model, quantised: ov.Model, context: RunContext) -> float:
    """The relative error of the outputs by quantisation; infinite where it does not run, or gives no numbers."""
    few = context.samples.take(range(min(TRIED, context.samples.count)))
    opened = quantised.clone()
    try:  # the result may be open, and some cells run with fixed shapes alone
        set_batch(opened, [port.get_any_name() for port in opened.inputs], -1)
    except Refusal:
        opened = quantised
    try:
        lost = output_errors(model, [opened], few, context.threads)[0]
    except RuntimeError:
        return inf
    return lost if isfinite(lost) else inf


def _quantise(step: Int8, model: ov.Model, reach: Reach, context: RunContext, progress: StepProgress) -> ov.Model:
    samples = context.samples
    dataset = nncf.Dataset(range(samples.count), lambda number: samples.batch(number, number + 1))
    try:
        with quiet_nncf(halving(step, progress), context.threads):
            return nncf.quantize(
                model,
                dataset,
                preset=nncf.QuantizationPreset(step.preset) if step.preset else None,
                target_device=nncf.TargetDevice(step.target_device),
                subset_size=min(step.subset_size, samples.count),
                fast_bias_correction=step.fast_bias_correction,
                model_type=_model_type(step, model),
                ignored_scope=reach.with_left(masking_operations(model)).scope,
                advanced_parameters=_advanced(step.advanced_parameters),
            )
    except Exception as error:
        raise refusal(error, "quantise") from error


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


def _in(model: ov.Model, layers: Sequence[Layer]) -> list[Layer]:
    """The layers as they are in another model, which may have more channels."""
    names = {layer.name for layer in layers}
    return [layer for layer in find_layers(model)[0] if layer.name in names]
