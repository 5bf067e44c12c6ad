"""How much a layer matters: the error of the model's outputs when that layer alone is compressed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine.capture import Site, find_sites
from workers.engine.layer import LayerTask, make_tasks
from workers.engine.sample_schedule import BatchStream, SampleSource
from workers.ir.graph.edit import Bias, ensure_bias, read_bias, write_bias, write_weight
from workers.ir.graph.frontier import Batch, Runner, kept
from workers.ir.graph.layers import Layer, nodes_by_name
from workers.ir.graph.segments import Cut, Key, Segment, cut, tensor_key
from workers.methods.problem import Array

Outputs = dict[Key, list[NDArray[Any]]]  # of the model, for every batch

TOGETHER = 6  # layers, one after another, that run as one where none of them is changed
MEAN_ROWS = 1024  # of a batch, that show the mean input of a layer


def output_errors(
    batched: ov.Model, weights: Sequence[tuple[Layer, Array]], samples: SampleSource, *, batch_size: int, threads: int
) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the outputs with one layer's weights (g, r, c) in place and its mean output kept, by layer name.

    The mean over the outputs of the model. `batched` is the model for `batch_size` samples at once, not consumed; all samples
    are in memory. Every layer costs a pass over what follows it.
    """
    model = batched.clone()
    tasks = make_tasks(model, [(layer, ()) for layer, _ in weights])
    chain = _Chain(model, tasks, threads)
    stream = BatchStream(samples, batch_size)
    frontier = chain.start(dict(batch) for batch in stream.batches(0, stream.length))
    expected = chain.outputs(frontier, 1)
    compressed = {layer.name: weight for layer, weight in weights}
    errors = {}
    for phase in chain.phases:
        for task in tasks:
            if chain.fine.phases[task.layer.nodes[0]] == phase:
                found = chain.outputs(frontier, phase, _Change(task, compressed[task.layer.name]))
                pairs = [(expected[key], found.get(key, expected[key])) for key in expected]
                distances = [_distance(*pair) for pair in pairs if _comparable(*pair)]
                errors[task.layer.name] = float(np.mean(distances)) if distances else 0.0
        frontier = chain.advance(frontier, phase)
    return errors


@dataclass(frozen=True, slots=True)
class _Change:
    """A layer that is to have other weights."""

    task: LayerTask
    weight: Array  # (g, r, c)


class _Chain:
    """A model cut twice: layer by layer, and coarsely for what follows a layer, which runs as fast as the model itself."""

    def __init__(self, model: ov.Model, tasks: Sequence[LayerTask], threads: int) -> None:
        self._biases = ensure_bias(model, [task.layer for task in tasks])
        self._sites = find_sites(model, tasks, self._biases)
        self._results = list(dict.fromkeys(tensor_key(result.input_value(0)) for result in model.get_results()))
        names = [site.node for site in self._sites]
        self.fine = cut(model.clone(), names, self._results)
        self._coarse = cut(model.clone(), names, self._results, TOGETHER)
        self._threads = threads
        self._runners = {id(parts): self._compiled(parts) for parts in (self.fine, self._coarse)}

    @property
    def phases(self) -> range:
        """All phases, from 1."""
        return range(1, len(self.fine.segments))

    def start(self, batches: Iterable[Batch]) -> list[Batch]:
        """What is known of each batch before the first layer."""
        return [self._step(self.fine, 0, batch, {}) for batch in batches]

    def advance(self, frontier: Sequence[Batch], phase: int) -> list[Batch]:
        """What is known of each batch after a phase."""
        return [self._step(self.fine, phase, batch, {}) for batch in frontier]

    def outputs(self, frontier: Sequence[Batch], phase: int, change: _Change | None = None) -> Outputs:
        """The model's outputs, as far as they follow from `phase` on, from what is known before it."""
        fine, coarse = (self._changed(parts, frontier, phase, change) for parts in (self.fine, self._coarse))
        border = -(-phase // TOGETHER) * TOGETHER
        outputs: Outputs = {}
        for batch in frontier:
            for number in range(phase, min(border, len(self.fine.segments) - 1) + 1):
                batch = self._step(self.fine, number, batch, fine, outputs)
            for number in range(border // TOGETHER + 1, len(self._coarse.segments)):
                batch = self._step(self._coarse, number, batch, coarse, outputs)
        return outputs

    def _step(
        self, parts: Cut, number: int, batch: Batch, changed: Mapping[int, Runner], outputs: Outputs | None = None
    ) -> Batch:
        run = changed.get(number) or self._runners[id(parts)][number]
        fresh = {key: np.array(value) for key, value in run(batch).items()}
        if outputs is not None:
            for key in fresh.keys() & set(self._results):
                outputs.setdefault(key, []).append(fresh[key])
        return kept(parts, number, batch | fresh)

    def _compiled(self, parts: Cut) -> list[Runner]:
        return [Runner(segment, self._threads) for segment in parts.segments]

    def _changed(self, parts: Cut, frontier: Sequence[Batch], phase: int, change: _Change | None) -> dict[int, Runner]:
        """The segments from `phase` on that hold a changed layer."""
        if change is None:
            return {}
        first = phase if parts is self.fine else -(-phase // TOGETHER) + 1
        numbers = {parts.phases[name] for name in change.task.layer.nodes}
        return {
            number: Runner(self._with(parts.segments[number], frontier, change), self._threads)
            for number in numbers
            if number >= first
        }

    def _with(self, segment: Segment, frontier: Sequence[Batch], change: _Change) -> Segment:
        """The segment with the changed layer in it; its mean output stays what it is on the frontier's inputs."""
        model = segment.model.clone()
        write_weight(model, change.task.layer, change.weight)
        for site in self._sites:
            if site.layer.name == change.task.layer.name and site.source in frontier[0]:
                lost = (change.task.weight - change.weight) @ _mean_input(site, frontier)[..., None]
                _shift(model, self._biases[site.node], lost.reshape(-1))
        return replace(segment, model=model)


def _mean_input(site: Site, frontier: Sequence[Batch]) -> Array:
    """Mean of the input rows of a layer (g, c), from some positions of every batch."""
    means = []
    for batch in frontier:
        positions = site.layer.geometry.input_positions(batch[site.source].shape)
        index = np.linspace(0, positions - 1, min(positions, MEAN_ROWS)).astype(np.intp)
        means.append(site.layer.geometry.input_rows(batch[site.source], index).mean(axis=1, dtype=np.float64))
    return np.asarray(np.mean(means, axis=0))


def _shift(model: ov.Model, bias: Bias, shift: Array) -> None:
    if bias.add in nodes_by_name(model):
        write_bias(model, bias, read_bias(model, bias) + shift)


def _comparable(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> bool:
    """Outputs whose size depends on the data are not, where it has changed."""
    return all(old.shape == new.shape for old, new in zip(expected, found, strict=True))


def _distance(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    error = sum(float(np.sum(np.square(new - old, dtype=np.float64))) for old, new in zip(expected, found, strict=True))
    energy = sum(float(np.sum(np.square(old, dtype=np.float64))) for old in expected)
    return error / energy if energy else float(error > 0)
