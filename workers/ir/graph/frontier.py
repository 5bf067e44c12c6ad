"""Running a cut model segment by segment over a calibration set, keeping only the tensors on the frontier."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.graph.segments import Cut, Key, Segment, up_to

Batch = dict[Key, NDArray[Any]]  # tensors of one batch of samples
Frontier = list[Batch]  # for every batch, the tensors that later phases read

ENDING_TOGETHER = 8  # compilations

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}  # no bf16, no dynamic quantisation


class Runner:
    """A segment, compiled to be run batch by batch."""

    def __init__(self, segment: Segment, threads: int) -> None:
        self._segment = segment
        config = {**EXACT, "INFERENCE_NUM_THREADS": threads}
        if segment.outputs:
            self.compiled = ov.Core().compile_model(segment.model, "CPU", config)
            self._request = self.compiled.create_infer_request()

    def __call__(self, batch: Batch) -> Batch:
        """The outputs of the segment, in memory that the next call overwrites."""
        if not self._segment.outputs:
            return {}
        last = self._segment.channels_last
        inputs = [_channels_last(batch[key]) if key in last else batch[key] for key in self._segment.inputs]
        outputs = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return {
            key: _channels_first(outputs[port]) if key in last else outputs[port]
            for port, key in enumerate(self._segment.outputs)
        }


def _channels_last(value: NDArray[Any]) -> NDArray[Any]:
    """(n, c, ...) -> (n, ..., c), of one piece; what came out of a segment already lies so in memory."""
    return np.ascontiguousarray(value.transpose(0, *range(2, value.ndim), 1))


def _channels_first(value: NDArray[Any]) -> NDArray[Any]:
    """(n, ..., c) -> (n, c, ...), a view."""
    return value.transpose(0, value.ndim - 1, *range(1, value.ndim - 1))


class Compilations:
    """Segments compiled one after another, for so many threads, which end ENDING_TOGETHER at a time.

    Whenever one ends, OpenVINO hands all free memory of the process back to the system, from which it must then be had again
    page by page.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._kept: list[ov.CompiledModel] = []

    def runner(self, segment: Segment) -> Runner:
        """The segment, compiled."""
        run = Runner(segment, self._threads)
        if segment.outputs:
            if len(self._kept) == ENDING_TOGETHER:
                self._kept.clear()
            self._kept.append(run.compiled)
        return run


def advance_frontier(parts: Cut, phase: int, frontier: Frontier, compilations: Compilations) -> Iterator[Batch]:
    """Run the segment of `phase` batch by batch, moving each batch of `frontier` from before the phase to after it.

    Yields all that is known of a batch in between: its tensors before the phase, and those computed in it, which are valid
    until the next batch is asked for. Must be exhausted.
    """
    segment = compilations.runner(parts.segments[phase])
    for number, batch in enumerate(frontier):
        seen = segment(batch) | batch
        yield seen
        frontier[number] = _kept(parts, phase, seen, batch)


def run_phase(parts: Cut, phase: int, frontier: Frontier, compilations: Compilations) -> None:
    """`advance_frontier`, where nothing is wanted of what the phase computes but what later ones read."""
    for _ in advance_frontier(parts, phase, frontier, compilations):
        pass


def enter_frontier(
    model: ov.Model, parts: Cut, phase: int, batches: Iterable[Batch], compilations: Compilations
) -> Iterator[Batch]:
    """The frontier before `phase` of batches of model inputs; `model` is the uncut one, of which all before runs in one go."""
    wanted = [key for key, last in parts.last_use.items() if parts.born[key] < phase <= last]
    run = compilations.runner(up_to(model, wanted))
    for batch in batches:
        yield {key: np.array(value) for key, value in run(batch).items()}


def kept(parts: Cut, phase: int, batch: Batch) -> Batch:
    """What phases after `phase` read of a batch."""
    return {key: value for key, value in batch.items() if parts.last_use.get(key, -1) > phase}


def _kept(parts: Cut, phase: int, seen: Batch, owned: Batch) -> Batch:
    """What phases after `phase` read of `seen`; tensors that are not `owned` yet are copied out of the runtime's memory."""
    return {key: value if key in owned else np.array(value) for key, value in kept(parts, phase, seen).items()}
