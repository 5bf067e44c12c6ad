"""How far outputs have drifted: those of layers from the original's, and those of a pass that calls itself exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import openvino as ov

from workers.calibration import Samples
from workers.errors import Internal
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import Float32, Indices, Layer
from workers.methods.problem import Array
from workers.passes.state import RunContext

MEASURED = 16  # samples that tell: an error is a sum over all positions of each

TINY = 1e-6  # of the squares: what is left of them about the means is rounding, in single precision
EXACT_SAMPLES = 8  # on which a pass is held to be exact
TOLERANCE = 1e-4  # of the largest output: sums are taken in another order


@dataclass(slots=True)
class Drift:
    """Sums over the positions of a layer's output: of z − ẑ and z by channel, and of their squares over all channels."""

    positions: int = 0
    sums: Array = field(default_factory=lambda: np.zeros(()))  # (2, channels)
    squares: Array = field(default_factory=lambda: np.zeros(2))

    def add(self, layer: Layer, before: Float32, after: Float32, channels: Indices | None) -> None:
        """Count one more sample: the outputs z of the original, of which `channels` are left, and ẑ of the compressed model."""
        if channels is not None:
            before = np.take(before, channels, axis=layer.geometry.channel_axis)
        both = [_by_channel(values, layer.geometry.channel_axis) for values in (before - after, before)]
        self.sums = self.sums + np.stack([values.sum(axis=1) for values in both])
        self.squares += [float(np.vdot(values, values)) for values in both]
        self.positions += both[0].shape[1]

    @property
    def relative_error(self) -> float:
        """E‖z − ẑ‖² / E‖z‖², about the means."""
        means = np.square(self.sums / self.positions).sum(axis=1)
        lost, energy = self.squares / self.positions - means
        return max(float(lost), 0.0) / float(energy) if energy > TINY * self.squares[1] / self.positions else 0.0


def _by_channel(value: Float32, axis: int) -> Float32:
    """(channels, positions) of an output tensor, which need not be copied for one sample with its channels in front."""
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)


def measure_drift(
    original: ov.Model,
    compressed: ov.Model,
    layers: Mapping[str, Layer],
    channels: Mapping[str, Indices | None],
    samples: Samples,
    threads: int,
) -> dict[str, Drift]:
    """The drift of layers, by layer name, over `samples` one at a time.

    Both models are of batch 1. `layers` gives, by the name of an operation of both models, the layer whose biased output it is.
    `channels` gives those of its original output channels that are left, by layer name; None stands for all.
    """
    config = {**EXACT, "INFERENCE_NUM_THREADS": threads}
    watched = [_watching(model, list(layers)) for model in (original, compressed)]
    requests = [ov.Core().compile_model(model, "CPU", config).create_infer_request() for model in watched]
    drifts: dict[str, Drift] = {layer.name: Drift() for layer in layers.values()}
    for number in range(samples.count):
        inputs = samples.batch(number, number + 1)
        before, after = (request.infer(inputs, share_outputs=True) for request in requests)
        for port, layer in enumerate(layers.values()):
            drifts[layer.name].add(layer, before[port], after[port], channels[layer.name])
    return drifts


def _watching(model: ov.Model, names: list[str]) -> ov.Model:
    """The part of a model that computes these operations, which become its outputs in this order."""
    copy = model.clone()
    nodes = {node.friendly_name: node for node in copy.get_ops()}
    return ov.Model([nodes[name].output(0) for name in names], copy.get_parameters(), "watching")


def output_errors(original: ov.Model, models: Sequence[ov.Model], samples: Samples, threads: int) -> list[float]:
    """E‖o − ô‖² / E‖o‖² of each model, the mean over the outputs; those whose size has changed count for nothing."""
    config = {**EXACT, "INFERENCE_NUM_THREADS": threads}
    requests = [ov.Core().compile_model(model, "CPU", config).create_infer_request() for model in (original, *models)]
    lost, energy = np.zeros((len(models), len(original.outputs))), np.zeros(len(original.outputs))
    for number in range(samples.count):
        inputs = dict(samples.batch(number, number + 1))
        expected, *found = ([np.array(value, np.float64) for value in request.infer(inputs).values()] for request in requests)
        energy += [float(np.square(value).sum()) for value in expected]
        for row, values in enumerate(found):
            pairs = zip(expected, values, strict=True)
            lost[row] += [float(np.square(one - other).sum()) if one.shape == other.shape else 0.0 for one, other in pairs]
    return [float(error) for error in (lost / np.where(energy > 0, energy, 1.0)).mean(axis=1)]


def check_equivalence(before: ov.Model, after: ov.Model, context: RunContext, name: str) -> None:
    """Compare the outputs of two models of batch 1 on calibration samples; raises Internal where they differ."""
    config = {**EXACT, "INFERENCE_NUM_THREADS": context.threads}
    requests = [ov.Core().compile_model(model, "CPU", config).create_infer_request() for model in (before, after)]
    for start in range(min(EXACT_SAMPLES, context.samples.count)):
        inputs = context.samples.batch(start, start + 1)
        expected, found = (list(request.infer(inputs).values()) for request in requests)
        for old, new in zip(expected, found, strict=True):
            reach = float(np.abs(old).max(initial=0))
            if old.shape != new.shape or not np.allclose(new, old, rtol=0, atol=TOLERANCE * reach, equal_nan=True):
                raise Internal(f"The step {name} was to leave the outputs as they are, and did not.")
