"""Whether a sample is answered alike however it is given: OpenVINO has kernels of its own for shapes and batches."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import openvino as ov

from workers.evaluation.model_outputs import HeldOutSamples, answers, inference_request
from workers.ir.graph.frontier import EXACT
from workers.statistics.decisions import Numbers

SAMPLES = 4
STEADY = 0.05  # norm of a difference that rounding explains, where an activation falls into the next step, of the answers' norm


def doubts(model: ov.Model, samples: HeldOutSamples, batch_size: int, threads: int) -> tuple[str, ...]:
    """What is to be said of a quantised model that answers some samples together otherwise than one by one; nothing of others.

    Samples are given one by one in their fixed shape, then together in theirs, then to the model as it is.
    """
    if not any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        return ()
    size, alone = min(SAMPLES, samples.count, batch_size), inference_request(model, samples, 1, threads)
    each = [answers(alone, samples.batch(number, number + 1), 1, 1) for number in range(size)]
    one_by_one = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    return tuple(
        f"OpenVINO answers {how} otherwise than one by one (relative difference {apart:.2g}): give it samples as "
        "they were measured, or leave the operations at fault out of int8 with ignored_scope."
        for how, found in _together(model, samples, size, threads)
        if (apart := _apart(one_by_one, found)) > STEADY
    )


def _together(model: ov.Model, samples: HeldOutSamples, size: int, threads: int) -> Iterator[tuple[str, list[Numbers]]]:
    inputs = samples.batch(0, size)
    if size > 1:
        yield f"{size} samples at once", answers(inference_request(model, samples, size, threads), inputs, size, size)
    if any(port.get_partial_shape().is_dynamic for port in model.inputs):
        with suppress(RuntimeError):  # a model that does not run at all has been told of where it was written
            request = ov.Core().compile_model(model, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads}).create_infer_request()
            yield "samples in the model's open shape", answers(request, inputs, size, size)


def _apart(first: Sequence[Numbers], second: Sequence[Numbers]) -> float:
    """The largest relative difference of outputs of the same sizes; `second` may be of fewer samples."""
    pairs = [(before[: len(after)], after) for before, after in zip(first, second, strict=True)]
    return max((_difference(before, after) for before, after in pairs if before.shape == after.shape), default=0.0)


def _difference(before: Numbers, after: Numbers) -> float:
    if before.dtype.kind != "f":
        return 0.0
    known = np.isfinite(before) & np.isfinite(after)
    old, new = before[known].astype(np.float64), after[known].astype(np.float64)
    return float(np.linalg.norm(new - old) / max(float(np.linalg.norm(old)), float(np.finfo(np.float32).tiny)))
