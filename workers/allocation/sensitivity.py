"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine.sample_schedule import SampleSource, Stream
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, write_bias, write_weight
from workers.ir.graph.frontier import Batch, Runner
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import Cut, Key, Segment, cut, tensor_key
from workers.methods.problem import Array

Outputs = dict[Key, list[NDArray[Any]]]  # of the model, for every batch


def output_errors(
    batched: ov.Model, weights: Sequence[tuple[Layer, Array]], samples: SampleSource, *, batch_size: int, threads: int
) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the outputs with one layer's weights (g, r, c) in place and its mean output kept, by layer name.

    The mean over the outputs of the model. `batched` is the model for `batch_size` samples at once, not consumed; all samples
    are in memory. Every layer costs a pass over what follows it.
    """
    model = batched.clone()
    layers = [layer for layer, _ in weights]
    biases = ensure_bias(model, layers)
    names = [name for layer in layers for name in layer.nodes]
    results = [tensor_key(result.input_value(0)) for result in model.get_results()]
    parts = cut(model, names, exposed=[*results, *((name, 0) for name in names)])
    stream = Stream(samples, batch_size)
    chain = [Runner(segment, threads) for segment in parts.segments]
    batches = [dict(batch) for batch in stream.batches(0, stream.length)]
    expected = _outputs(parts, chain, 0, batches, results)
    batches = [_kept(parts, 0, batch) for batch in _next(chain[0], batches)]
    errors = {}
    for phase in range(1, len(parts.segments)):
        after = _next(chain[phase], batches)
        for layer, weight in weights:
            if parts.phases[layer.nodes[0]] == phase:
                changed = _with_weight(parts, layer, weight)
                mine = [(layer, name) for name in layer.nodes if parts.phases[name] == phase]
                lost = _means(after, mine), _means(_next(Runner(changed[phase], threads), batches), mine)
                for _, name in mine:
                    _shift(changed[phase].model, biases[name], lost[0][name] - lost[1][name])
                rest = [Runner(changed[n], threads) if n in changed else chain[n] for n in range(len(chain))]
                found = expected | _outputs(parts, rest, phase, batches, results)
                errors[layer.name] = float(np.mean([_distance(expected[key], found[key]) for key in expected]))
        batches = [_kept(parts, phase, batch) for batch in after]
    return errors


def _outputs(parts: Cut, chain: Sequence[Runner], phase: int, batches: Sequence[Batch], results: Sequence[Key]) -> Outputs:
    """The model's outputs, as far as segments from `phase` on compute them."""
    outputs: Outputs = {}
    for batch in batches:
        known = batch
        for number in range(phase, len(chain)):
            fresh = {key: np.array(value) for key, value in chain[number](known).items()}
            known = _kept(parts, number, known | fresh)
            for key in dict.fromkeys(results):
                if key in fresh:
                    outputs.setdefault(key, []).append(fresh[key])
    return outputs


def _kept(parts: Cut, phase: int, batch: Batch) -> Batch:
    """What phases after `phase` read."""
    return {key: value for key, value in batch.items() if parts.last_use.get(key, -1) > phase}


def _next(runner: Runner, batches: Sequence[Batch]) -> list[Batch]:
    """All that is known of each batch after a segment."""
    return [batch | {key: np.array(value) for key, value in runner(batch).items()} for batch in batches]


def _means(batches: Sequence[Batch], nodes: Sequence[tuple[Layer, str]]) -> dict[str, Array]:
    """Mean output (channels,) of operations, by name."""
    seen = [_channels(batch, nodes) for batch in batches]
    return {name: np.mean([batch[name] for batch in seen], axis=0) for _, name in nodes}


def _channels(batch: Batch, nodes: Sequence[tuple[Layer, str]]) -> dict[str, Array]:
    means = {}
    for layer, name in nodes:
        output = batch[name, 0]
        rows = layer.geometry.output_rows(output, np.arange(layer.geometry.positions(output.shape)))
        means[name] = rows.mean(axis=1, dtype=np.float64).reshape(-1)
    return means


def _with_weight(parts: Cut, layer: Layer, weight: Array) -> dict[int, Segment]:
    """The segments that hold a layer, with another weight in it, by phase."""
    changed = {}
    for number in {parts.phases[name] for name in layer.nodes}:
        changed[number] = replace(parts.segments[number], model=parts.segments[number].model.clone())
        write_weight(changed[number].model, layer, weight)
    return changed


def _shift(model: ov.Model, bias: Bias, shift: Array) -> None:
    write_bias(model, bias, read_bias(model, bias) + shift)


def _distance(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    error = sum(float(np.sum(np.square(new - old, dtype=np.float64))) for old, new in zip(expected, found, strict=True))
    energy = sum(float(np.sum(np.square(old, dtype=np.float64))) for old in expected)
    return error / energy if energy else float(error > 0)
