"""End-to-end distillation of a compressed model: `workers.training`, between the steps of a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
import torch

from workers.engine.layer import LayerResult
from workers.errors import LabelMismatch
from workers.evaluation.model_outputs import activation_of
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, read_weight, write_bias, write_weight
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.reading import batching
from workers.methods.finetune import Finetune
from workers.passes.output_error import MEASURED, measure_drift
from workers.passes.state import CompressionState, RunContext, StepProgress, TrainingRun
from workers.statistics.decisions import read
from workers.training.batches import TrainingBatches
from workers.training.distillation import Distillation, Student
from workers.training.losses import Loss
from workers.training.network import Network, verify
from workers.training.parametrizations import parametrize
from workers.training.teacher import Teacher

MOST_FEATURES = 8


@dataclass(frozen=True, slots=True)
class Trained:
    """A layer whose weight and biases are trained, and what they are in the batched model."""

    start: LayerResult
    batched: Layer  # whose weight may be stored the other way round
    weight: str
    biases: Mapping[str, str]  # by operation


def rewrite(step: Finetune, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Train the weights that the recipe may change, and every layer's bias.

    Raises NotTrainable for models with operations that cannot be differentiated, LabelMismatch where labels are to be used and
    there are none.
    """
    if step.label_weight and context.samples.labels is None:
        raise LabelMismatch("finetune.label_weight is set, and the calibration samples have no labels.")
    torch.set_num_threads(context.threads)
    model = state.model
    layers = [layer for layer in find_layers(model)[0] if not set(layer.readers) & context.excluded.keys()]
    biases = ensure_bias(model, layers)
    step = step.settled(context.batch_size)
    size = min(step.batch_size or 1, context.batch_size)
    batched, original = batching.batched(model, size), batching.batched(context.original, size)
    trained = _trained(batched, layers, state)
    network, shared = Network(batched), _features(batched, original, layers)
    apart = verify(batched, network, context.samples.batch(0, size), context.threads)
    teacher, student = Teacher(original, shared, context.threads), _student(network, trained)
    batches = TrainingBatches(
        context.samples,
        size,
        augment=step.augment,
        seed=context.seed,
        selecting=context.early_stopping,
        labelled=step.label_weight > 0,
    )
    loss = _loss(step, original, teacher, batches)
    run = Distillation(step, teacher, network, student, batches, loss, shared, context.folder)
    start = {name: network.constants[name] for name in (*student.names[0], *student.names[1])}
    values = run.run(start, lambda done, total, message: progress(done, total, message=message))
    results = _written(step, model, trained, biases, values, context)
    for result in results.values():
        context.on_layer(result)
    training = TrainingRun(
        steps=run.number,
        seconds=run.seconds,
        kept=run.curve.kept,
        selecting=batches.selecting.count,
        difference=apart,
        curve=tuple(run.curve.points),
    )
    return replace(state, results={**state.results, **results}, training=training)


def _trained(batched: ov.Model, layers: Sequence[Layer], state: CompressionState) -> list[Trained]:
    places = ensure_bias(batched, layers)
    _name_constants(batched)
    nodes, twins = nodes_by_name(batched), {layer.name: layer for layer in find_layers(batched)[0]}

    def constant(operation: str, port: int) -> str:
        return str(nodes[operation].input_value(port).get_node().friendly_name)

    return [
        Trained(
            start=state.results.get(layer.name) or _untouched(state.model, layer),
            batched=twins[layer.name],
            weight=constant(layer.nodes[0], twins[layer.name].port),
            biases={name: constant(places[name].add, places[name].port) for name in layer.nodes},
        )
        for layer in layers
    ]


def _name_constants(model: ov.Model) -> None:
    """By their place: folding leaves names that count up, and an interrupted training looks its constants up by name."""
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    for number, node in enumerate(constants):
        node.friendly_name = f"constant {number}"


def _untouched(model: ov.Model, layer: Layer) -> LayerResult:
    """A layer that no step has changed yet."""
    weight = read_weight(model, layer)
    return LayerResult(layer, (), weight, weight, None, {}, 0.0, 0, {})


def _student(network: Network, trained: Sequence[Trained]) -> Student:
    weights = {each.weight: parametrize(replace(each.start, layer=each.batched)) for each in trained}
    return Student(weights, {name: network.constants[name] for each in trained for name in each.biases.values()})


def _loss(step: Finetune, original: ov.Model, teacher: Teacher, batches: TrainingBatches) -> Loss:
    outputs, _ = teacher.run(batches.training(0).feeds)
    names = [min(port.get_names(), default="") for port in original.outputs]
    activations = [activation_of(result.input_value(0)) for result in original.get_results()]
    readings = tuple(
        read(name, value.reshape(batches.size, -1, *value.shape[1:]).squeeze(1).numpy(), activation)
        for name, value, activation in zip(names, outputs, activations, strict=True)
    )
    return Loss(readings, batches.size, step.temperature, step.feature_weight, step.label_weight)


def _features(batched: ov.Model, original: ov.Model, layers: Sequence[Layer]) -> list[str]:
    """Operations whose outputs layers read, of the same shape in both models: a few of them, evenly spaced."""
    nodes, known = nodes_by_name(batched), nodes_by_name(original)
    sources: dict[str, None] = {}
    for layer in layers:
        source = nodes[layer.nodes[0]].input_value(0).get_node()
        twin = known.get(source.friendly_name)
        if source.get_type_name() not in ("Parameter", "Constant") and twin and source.output(0).shape == twin.output(0).shape:
            sources[source.friendly_name] = None
    names = list(sources)
    chosen = np.linspace(0, len(names) - 1, min(MOST_FEATURES, len(names)))
    return [names[int(position)] for position in chosen]


def _written(
    step: Finetune,
    model: ov.Model,
    trained: Sequence[Trained],
    biases: Mapping[str, Bias],
    values: Mapping[str, torch.Tensor],
    context: RunContext,
) -> dict[str, LayerResult]:
    """Write the trained values into the model, and measure what every layer's output has lost."""
    for each in trained:
        write_weight(model, each.start.layer, _weight(each, values, context))
        for name, constant in each.biases.items():
            write_bias(model, biases[name], values[constant].numpy().reshape(-1))
    original = context.original.clone()
    present = {layer.name: layer for layer in find_layers(original)[0]}
    ensure_bias(original, [present[each.start.layer.name] for each in trained if each.start.layer.name in present])
    outputs = {
        biases[name].add: each.start.layer for each in trained if each.start.layer.name in present for name in each.biases
    }
    channels = {each.start.layer.name: each.start.channels for each in trained}
    samples = context.samples.take(range(min(MEASURED, context.samples.count)))
    drifts = measure_drift(original, model, outputs, channels, samples, context.threads)
    return {
        each.start.layer.name: replace(
            each.start,
            steps=(*each.start.steps, step),
            weight=read_weight(model, each.start.layer).astype(np.float64),
            biases={name: read_bias(model, biases[name]).astype(np.float64) for name in each.biases},
            relative_error=drifts[each.start.layer.name].relative_error if each.start.layer.name in drifts else 0.0,
            samples=samples.count,
            own_error=None,
        )
        for each in trained
    }


def _weight(each: Trained, values: Mapping[str, torch.Tensor], context: RunContext) -> np.ndarray:
    """The trained weight (g, r, c), rounded to the type the model keeps free weights in."""
    matrix = np.array(each.batched.geometry.matrix(values[each.weight].numpy()))
    half = context.precision == "f16" and each.start.scale is None
    return (matrix.astype(np.float16).astype(np.float32) if half else matrix) + np.float32(0)
