"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine import Batches, read_inputs
from workers.ir.edit import Bias, ensure_bias, read_bias, write_bias, write_weight
from workers.ir.frontier import Frontier, advance
from workers.ir.layers import Layer
from workers.ir.segments import Cut, Key, cut, key_of
from workers.methods.problem import Array


def output_errors(
    batched: ov.Model,
    weights: Sequence[tuple[Layer, Array]],
    samples: Batches,
    *,
    batch_size: int,
    threads: int,
) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the outputs with one layer's weights (g, r, c) in place and its mean output kept, by layer name.

    The mean over the outputs of the model, on a few samples. `batched` is the model for `batch_size` samples at once, not
    consumed. Every layer costs a pass over what follows it.
    """
    model = batched.clone()
    layers = [layer for layer, _ in weights]
    biases = ensure_bias(model, layers)
    names = [name for layer in layers for name in layer.nodes]
    results = [key_of(result.input_value(0)) for result in model.get_results()]
    parts = cut(model, names, exposed=[*results, *((name, 0) for name in names)])
    frontier, _ = read_inputs(samples, batch_size)
    expected = _finish(parts, 0, frontier, results, threads)
    frontier = advance(parts, 0, frontier, threads)
    errors = {}
    for phase in range(1, len(parts.segments)):
        after = advance(parts, phase, frontier, threads)
        for layer, weight in weights:
            if parts.phases[layer.nodes[0]] == phase:
                changed = _with_weight(parts, layer, weight)
                _keep_means(changed, phase, layer, biases, after, advance(changed, phase, frontier, threads))
                found = expected | _finish(changed, phase, frontier, results, threads)
                errors[layer.name] = float(np.mean([_distance(expected[key], found[key]) for key in expected]))
        frontier = after
    return errors


def _finish(parts: Cut, phase: int, frontier: Frontier, results: Sequence[Key], threads: int) -> Frontier:
    """The model's outputs, as far as segments from `phase` on compute them."""
    outputs: Frontier = {}
    for number in range(phase, len(parts.segments)):
        frontier = advance(parts, number, frontier, threads)
        outputs |= {key: frontier[key] for key in results if key in parts.segments[number].outputs}
    return outputs


def _with_weight(parts: Cut, layer: Layer, weight: Array) -> Cut:
    """The same segments with a weight of its own for one layer."""
    touched = {parts.phases[name] for name in layer.nodes}
    segments = list(parts.segments)
    for number in touched:
        segments[number] = replace(segments[number], model=segments[number].model.clone())
        write_weight(segments[number].model, layer, weight)
    return replace(parts, segments=tuple(segments))


def _keep_means(changed: Cut, phase: int, layer: Layer, biases: Mapping[str, Bias], before: Frontier, after: Frontier) -> None:
    """Add to the biases of one phase what the layer's outputs have lost on average."""
    model = changed.segments[phase].model
    for name in layer.nodes:
        if changed.phases[name] == phase:
            shift = _mean(layer, before[name, 0]) - _mean(layer, after[name, 0])
            write_bias(model, biases[name], read_bias(model, biases[name]) + shift)


def _mean(layer: Layer, batches: Sequence[NDArray[np.float32]]) -> Array:
    """Mean output (channels,)."""
    rows = [layer.geometry.output_rows(batch, np.arange(layer.geometry.positions(batch.shape))) for batch in batches]
    return np.asarray(np.mean([batch.mean(axis=1, dtype=np.float64) for batch in rows], axis=0)).reshape(-1)


def _distance(expected: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]]) -> float:
    error = sum(float(np.sum(np.square(new - old, dtype=np.float64))) for old, new in zip(expected, found, strict=True))
    energy = sum(float(np.sum(np.square(old, dtype=np.float64))) for old in expected)
    return error / energy if energy else float(error > 0)
