"""What every layer has cost and saved, and what to change for the next run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import openvino as ov

from workers.allocation.sensitivity import affordable_samples, output_losses
from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.ir.graph.layers import find_layers
from workers.ir.reading.batching import batched
from workers.methods.int8 import Int8
from workers.methods.problem import Method, Step
from workers.report.schema import LayerProfile, LayerReport, NextRun

Milder = Mapping[str, tuple[int, tuple[str, float]]]  # by layer: a step of the recipe, and a knob with its value

NOTHING_MILDER: Milder = MappingProxyType({})
MOST_SAMPLES = 64
FEWEST = 3  # samples: they tell which layers cost most nearly as well as 12
PASSES = 0.5  # over all samples, that the layers may run through together
ENOUGH = 0.5  # of the total error: what leaving a few layers alone should give back
TOO_DEAR = 0.2  # of all bytes saved: what it may not cost


def output_errors_per_layer(
    original: ov.Model,
    results: Iterable[LayerResult],
    samples: Samples,
    *,
    batch_size: int,
    threads: int,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> dict[str, float]:
    """The relative error of the original's outputs with each layer's new weights alone in place, by layer name.

    Layers that a step has reshaped or added have none. Effects of quantised activations are not in it.
    """
    known = {layer.name: layer for layer in find_layers(original)[0]}
    weights = [
        (known[result.layer.name], result.weight)
        for result in results
        if result.layer.name in known and known[result.layer.name].shape == result.layer.shape
    ]
    if not weights:
        return {}
    count = affordable_samples(samples.count, len(weights), MOST_SAMPLES, PASSES, FEWEST)
    size = min(batch_size, count)
    count -= count % size  # whole batches
    few = samples.take(range(count))
    losses = output_losses(batched(original, size), weights, few, batch_size=size, threads=threads, progress=progress)
    return {name: loss.error for name, loss in losses.items()}


def shares(results: Sequence[LayerResult], lost: Mapping[str, float]) -> dict[str, float]:
    """Each layer's part of the total error: of the outputs' where it is known for all layers, else of the layers' own.

    None has one where `int8` alone has changed them: an error of theirs holds those of all layers before.
    """
    if only_quantised(results):
        return {}
    errors = {result.layer.name: lost.get(result.layer.name, 0.0) for result in results}
    if len(lost) < len(results):
        errors = {result.layer.name: result.relative_error for result in results}
    total = sum(errors.values())
    return {name: error / total for name, error in errors.items()} if total else {}


def only_quantised(results: Sequence[LayerResult]) -> bool:
    """Whether `int8` is all that has changed the layers: new weights alone then tell little of what was lost."""
    return all(isinstance(step, Int8) for result in results for step in result.steps)


def ranks(shared: Mapping[str, float]) -> dict[str, int]:
    """1 for the layer with the largest share."""
    ordered = sorted(shared, key=lambda name: -shared[name])
    return {name: rank for rank, name in enumerate(ordered, start=1)}


def saved_times(profile: Sequence[LayerProfile]) -> dict[str, float]:
    """Milliseconds that an operation takes less than in the original, where both have it, by name."""
    pairs = ((row.name, row.original_ms, row.compressed_ms) for row in profile)
    return {name: before - after for name, before, after in pairs if before is not None and after is not None}


def milder_settings(results: Sequence[LayerResult], steps: Sequence[Step]) -> Milder:
    """For every layer the last step that solved it, by its place in the recipe, and that step's next milder knob there."""
    places = {step.method: place for place, step in enumerate(steps)}
    found = {}
    for result in results:
        knob = result.steps[-1].milder() if isinstance(result.steps[-1], Method) else None
        if knob:
            found[result.layer.name] = (places[result.steps[-1].method], knob)
    return found


def next_run(layers: Sequence[LayerReport], milder: Milder = NOTHING_MILDER) -> NextRun | None:
    """The layers that cause most of the error for the fewest bytes; None where no few do."""
    saved = {layer.name: max(layer.original_bytes - layer.bytes, 0) for layer in layers}
    harmful = [layer for layer in layers if layer.error_share]
    harmful.sort(key=lambda layer: -(layer.error_share or 0.0) / max(saved[layer.name], 1))
    names: list[str] = []
    share, given_up = 0.0, 0
    for layer in harmful:
        if share >= ENOUGH:
            break
        names.append(layer.name)
        share += layer.error_share or 0.0
        given_up += saved[layer.name]
    if not names or len(names) == len(layers) or given_up > TOO_DEAR * sum(saved.values()):
        return None
    step, blocks = _blocks(names, milder)
    scope = {"names": tuple(names)}
    return NextRun(ignored_scope=scope, error_share=share, bytes_given_up=given_up, step=step, layers=blocks)


def _blocks(names: Sequence[str], milder: Milder) -> tuple[int | None, tuple[dict[str, Any], ...]]:
    """Settings for these layers, one block for each value of the knob; none where not all of them can have a milder one."""
    places = {milder[name][0] for name in names if name in milder}
    if len(places) != 1 or not all(name in milder for name in names):
        return None, ()
    groups: dict[tuple[str, float], list[str]] = {}
    for name in names:
        groups.setdefault(milder[name][1], []).append(name)
    return places.pop(), tuple({"scope": {"names": group}, knob: value} for (knob, value), group in groups.items())
