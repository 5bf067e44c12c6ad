"""Running a cut model segment by segment over a calibration set, keeping only the tensors on the frontier."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.segments import Cut, Key, Segment

Frontier = dict[Key, list[NDArray[Any]]]  # tensor -> its value for every batch

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}  # no bf16, no dynamic quantisation


def advance(parts: Cut, phase: int, frontier: Frontier, threads: int) -> Frontier:
    """Run the segment of `phase` over all batches; returns the frontier after it, less the tensors nobody reads any more."""
    segment = parts.segments[phase]
    kept: Frontier = {key: values for key, values in frontier.items() if parts.last_use.get(key, -1) > phase}
    fresh: Frontier = {key: [] for key in segment.outputs}
    for values in _run(segment, frontier, threads):
        for key, value in zip(segment.outputs, values, strict=True):
            fresh[key].append(value)
    return kept | fresh


def _run(segment: Segment, frontier: Frontier, threads: int) -> Iterator[list[NDArray[Any]]]:
    if not segment.outputs:
        return
    config = {**EXACT, "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(segment.model, "CPU", config).create_infer_request()
    for values in zip(*(frontier[key] for key in segment.inputs), strict=True):
        outputs = request.infer(list(values), share_inputs=True, share_outputs=True)
        yield [np.array(outputs[port]) for port in range(len(segment.outputs))]
