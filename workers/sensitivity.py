"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.enrolment import Batches, Stream
from workers.ir.edit import Bias, ensure_bias, read_bias, write_bias, write_weight
from workers.ir.frontier import Batch, Frontier, advance, enter
from workers.ir.layers import Layer
from workers.ir.segments import Cut, Key, cut, key_of
from workers.methods.problem import Array

Outputs = dict[Key, list[NDArray[Any]]]  # of the model, for every batch


def output_errors(
    batched: ov.Model, weights: Sequence[tuple[Layer, Array]], samples: Batches, *, batch_size: int, threads: int
) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the outputs with one layer's weights (g, r, c) in place and its mean output kept, by layer name.

    The mean over the outputs of the model. `batched` is the model for `batch_size` samples at once, not consumed; all samples
    are in memory. Every layer costs a pass over what follows it.
    """
    model = batched.clone()
    layers = [layer for layer, _ in weights]
    biases = ensure_bias(model, layers)
    names = [name for layer in layers for name in layer.nodes]
    results = [key_of(result.input_value(0)) for result in model.get_results()]
    parts = cut(model, names, exposed=[*results, *((name, 0) for name in names)])
    stream = Stream(samples, batch_size)
    expected = _outputs(parts, 0, list(stream.batches(0, stream.length)), results, threads)
    frontier = list(enter(parts, 1, stream.batches(0, stream.length), threads))
    errors = {}
    for phase in range(1, len(parts.segments)):
        here = [(layer, weight) for layer, weight in weights if parts.phases[layer.nodes[0]] == phase]
        nodes = [(layer, name) for layer, _ in here for name in layer.nodes if parts.phases[name] == phase]
        before = list(frontier)
        means = _means(parts, phase, frontier, nodes, threads)
        for layer, weight in here:
            changed = _with_weight(parts, layer, weight)
            mine = [(owner, name) for owner, name in nodes if owner is layer]
            moved = _means(changed, phase, list(before), mine, threads)
            for name, mean in moved.items():
                _shift(changed.segments[phase].model, biases[name], means[name] - mean)
            found = expected | _outputs(changed, phase, list(before), results, threads)
            errors[layer.name] = float(np.mean([_distance(expected[key], found[key]) for key in expected]))
    return errors


def _outputs(parts: Cut, phase: int, frontier: Frontier, results: Sequence[Key], threads: int) -> Outputs:
    """The model's outputs, as far as segments from `phase` on compute them; `frontier` is consumed."""
    outputs: Outputs = {}
    for number in range(phase, len(parts.segments)):
        mine = [key for key in dict.fromkeys(results) if key in parts.segments[number].outputs]
        for seen in advance(parts, number, frontier, threads):
            for key in mine:
                outputs.setdefault(key, []).append(np.array(seen[key]))
    return outputs


def _means(parts: Cut, phase: int, frontier: Frontier, nodes: Sequence[tuple[Layer, str]], threads: int) -> dict[str, Array]:
    """Mean output (channels,) of operations of one phase, by name; moves `frontier` past the phase."""
    seen = [_channels(batch, nodes) for batch in advance(parts, phase, frontier, threads)]
    return {name: np.mean([batch[name] for batch in seen], axis=0) for _, name in nodes}


def _channels(batch: Batch, nodes: Sequence[tuple[Layer, str]]) -> dict[str, Array]:
    means = {}
    for layer, name in nodes:
        output = batch[name, 0]
        rows = layer.geometry.output_rows(output, np.arange(layer.geometry.positions(output.shape)))
        means[name] = rows.mean(axis=1, dtype=np.float64).reshape(-1)
    return means


def _with_weight(parts: Cut, layer: Layer, weight: Array) -> Cut:
    """The same segments with a weight of its own for one layer."""
    segments = list(parts.segments)
    for number in {parts.phases[name] for name in layer.nodes}:
        segments[number] = replace(segments[number], model=segments[number].model.clone())
        write_weight(segments[number].model, layer, weight)
    return replace(parts, segments=tuple(segments))


def _shift(model: ov.Model, bias: Bias, shift: Array) -> None:
    write_bias(model, bias, read_bias(model, bias) + shift)


def _distance(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    error = sum(float(np.sum(np.square(new - old, dtype=np.float64))) for old, new in zip(expected, found, strict=True))
    energy = sum(float(np.sum(np.square(old, dtype=np.float64))) for old in expected)
    return error / energy if energy else float(error > 0)
