"""What a model answers to held-out samples, and what its outputs look like."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.evaluation.decoders import Frame, Output
from workers.evaluation.tasks import Seen
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.interface import interface_of
from workers.ir.graph.shapes import set_shapes
from workers.ir.reading.inputs import describe_inputs
from workers.report.schema import Source
from workers.statistics.decisions import Activation, Numbers, Reading, read

# Operations that hand on what an activation made, be it moved, cut, averaged or resized.
PASSING = frozenset(
    "Convert FakeQuantize Interpolate MaxPool ReduceMax ReduceMean Reshape Slice Split Squeeze StridedSlice Transpose "
    "Unsqueeze VariadicSplit".split()
)
ACTIVATIONS: dict[str, Activation] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


class HeldOutSamples(Protocol):
    """Held-out samples."""

    @property
    def count(self) -> int:
        """Number of samples."""

    @property
    def source(self) -> Source:
        """What they are."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class of each sample (count,)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, by index, as far as it is known."""

    @property
    def target_kind(self) -> TargetKind | None:
        """What the samples are labelled with."""

    def targets_of(self, start: int, stop: int) -> list[Any] | None:
        """The labels of the samples from `start` to `stop`."""

    def batch(self, start: int, stop: int) -> dict[str, Numbers]:
        """Model inputs by name, for the samples from `start` to `stop`."""


def look_at_outputs(original: ov.Model, samples: HeldOutSamples, request: ov.InferRequest, size: int = 1) -> Seen:
    """What the outputs of a model look like, by its answer to the first sample; it is compiled for `size` samples."""
    first = {name: padded(value, 1, size) for name, value in samples.batch(0, 1).items()}
    values = answers(request, first, size, 1)
    made = []
    for port, value in zip(original.outputs, values, strict=True):
        name = min(port.get_names(), default=port.get_node().friendly_name)
        activation = activation_of(port.get_node().input_value(0))
        integers = bool(np.issubdtype(value.dtype, np.integer)) and value.dtype.itemsize > 1
        made.append((Output(name, value.shape[1:], activation, integers), read(name, value, activation)))
    return Seen([output for output, _ in made], [reading for _, reading in made], finite_outputs(values), _frame(original))


def readings_of(seen: Seen) -> Iterable[tuple[Output, Reading]]:
    return zip(seen.outputs, seen.readings, strict=True)


def sample_outputs(request: ov.InferRequest, samples: HeldOutSamples) -> list[list[Numbers]]:
    """What a model, compiled for one sample, answers to each of the samples; every output is (1, ...)."""
    return [finite_outputs(answers(request, samples.batch(index, index + 1), 1, 1)) for index in range(samples.count)]


def inference_request(model: ov.Model, samples: HeldOutSamples, batch_size: int, threads: int) -> ov.InferRequest:
    """Compiled for one size of batch: a model of open axes would be compiled for every size it meets."""
    copy = model.clone()
    first = samples.batch(0, 1)
    values = [next(first[name] for name in port.get_names() if name in first) for port in copy.inputs]
    set_shapes(copy, [(batch_size, *value.shape[1:]) if batch_size > 1 else value.shape for value in values])
    return ov.Core().compile_model(copy, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads}).create_infer_request()


def answers(request: ov.InferRequest, inputs: dict[str, Numbers], size: int, n: int) -> list[Numbers]:
    """The outputs of the first `n` samples of a batch of `size`, (n, ...) each."""
    results = request.infer(inputs, share_inputs=True)
    return [_by_sample(results[index], size)[:n] for index in range(len(results))]


def padded(value: Numbers, n: int, size: int) -> Numbers:
    """A batch filled up by repetition."""
    return value if n == size else np.resize(value, (size, *value.shape[1:]))


def finite_outputs(values: Sequence[Numbers]) -> list[Numbers]:
    """Outputs with finite numbers only: where the original has others, `OutputComparison` tells of it."""
    return [np.nan_to_num(value) if value.dtype.kind == "f" else value for value in values]


def activation_of(output: ov.Output) -> Activation:
    """The softmax or sigmoid that made an output, if only moves lie between."""
    node = output.get_node()
    while node.get_type_name() in PASSING:
        node = node.input_value(0).get_node()
    return ACTIVATIONS.get(node.get_type_name())


def _by_sample(value: Numbers, size: int) -> Numbers:
    """An output with the samples on its first axis; a single sample's may lack that axis, or use it for something else."""
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    if value.ndim == 0 or len(value) == size:
        return value.reshape(size, *value.shape[1:])
    return value.reshape(size, len(value) // size, *value.shape[1:])


def _frame(model: ov.Model) -> Frame | None:
    """The size of the first input that takes images."""
    for entry in describe_inputs(model, interface_of(model)):
        if entry.layout is not None:
            sides = dict(zip(entry.layout, entry.shape, strict=True))
            return Frame(sides["H"], sides["W"], sides["C"])
    return None
