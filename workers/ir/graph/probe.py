"""Running a model on values that fit its inputs and mean nothing, to see what it does with them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.graph.frontier import EXACT
from workers.ir.reading.error_translation import refusing

Values = NDArray[Any]
ALIKE = 1e-3  # norm of the difference of two outputs that count as the same, of their own norm
DECISIONS = 0.1  # of integers that may differ all the same: a tie is broken by the last digit


def draw_values(shape: Sequence[int], dtype: np.dtype[Any], bounds: tuple[int, int], rng: np.random.Generator) -> Values:
    """Standard normal values, or integers from the one bound to the other."""
    values = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(*bounds, shape, endpoint=True)
    return np.asarray(values, dtype)


def runner(model: ov.Model) -> Callable[[Sequence[Values]], list[Values]]:
    """A function from inputs to outputs, in order, computed in single precision.

    Raises a Refusal where OpenVINO cannot run the model, and so does the function.
    """
    with refusing("run the model"):
        request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()

    def run(values: Sequence[Values]) -> list[Values]:
        with refusing("run the model"):
            request.infer(dict(enumerate(values)))
            return [np.array(request.get_output_tensor(index).data) for index in range(len(model.outputs))]

    return run


def alike(first: Sequence[Values], second: Sequence[Values]) -> bool:
    """Whether two lists of outputs are the same but for rounding."""
    return len(first) == len(second) and all(map(_alike, first, second))


def _alike(first: Values, second: Values) -> bool:
    if first.shape != second.shape:
        return False
    if first.dtype.kind != "f":
        return first.size == 0 or float(np.mean(first != second)) <= DECISIONS
    known = np.isfinite(first)
    if not np.array_equal(known, np.isfinite(second)):
        return False
    before, after = first[known].astype(np.float64), second[known].astype(np.float64)
    tiny = float(np.finfo(np.float32).tiny)
    coarse = 10 * float(np.finfo(first.dtype).eps)  # half precision tells no more
    return bool(np.linalg.norm(before - after) <= max(ALIKE, coarse) * np.linalg.norm(before) + tiny)


def stack_samples(samples: Sequence[Sequence[Values]], axes: Mapping[int, int | None]) -> list[Values]:
    """Several samples as one; an input without an axis for them is the first one's."""
    return [
        values[0] if axes.get(number) is None else np.concatenate(values, axis=axes[number])
        for number, values in enumerate(zip(*samples, strict=True))
    ]
