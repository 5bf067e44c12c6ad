"""What fewer channels for each layer to read would do to the model's outputs, measured.

As for sparsity (`sensitivity_profile`), from changing one layer alone: half of its input channels go, those that weigh least,
and all its other weights are re-solved.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from workers.allocation.error_curves import SMALLEST, pose_halves
from workers.allocation.sensitivity_profile import losses_of_probes
from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.channels.groups import couple
from workers.ir.graph.layers import Layer
from workers.ir.reading.batching import batched
from workers.methods.problem import LayerProblem, Mask
from workers.methods.solvers.channel_selection import solve_kept_columns

MADE_UP = 0.5  # the exponent of harms that made-up samples tell: of early layers they tell too much, of late ones too little
PROBED = 0.5  # of a layer's input channels go: fewer harm some layers too little to be told from nothing


@dataclass(frozen=True, slots=True)
class ChannelProfile:
    """What the outputs lose with every layer's inputs."""

    names: tuple[str, ...]
    harms: tuple[float, ...]  # of each layer: expected loss of what the outputs decide, per unit of its relative error

    def foretold(self, results: Sequence[LayerResult]) -> dict[str, float]:
        """Nothing of layers that have lost channels, which are no longer what was profiled."""
        return {}

    def harm_of(self) -> Mapping[str, float]:
        """By layer name."""
        return dict(zip(self.names, self.harms, strict=True))


def profile_channels(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Callable[[int, int, str], None] = lambda done, total, layer: None,
) -> ChannelProfile:
    """Profile `layers` of a model of one sample; those that read no channels of others harm nothing by having fewer to read.

    Costs one pass over all samples, one solve of every layer, and for every layer a pass over a few samples; `progress` counts
    each layer twice.
    """
    inputs = couple(model, layers).inputs
    read = [layer for layer in layers if layer.name in inputs]
    errors, probes = {}, []
    for posed in pose_halves(batched(model, options.batch_size), read, samples, options):
        weight = solve_kept_columns(posed.problem, heaviest(posed.problem, inputs[posed.layer.name].size))
        errors[posed.layer.name] = max(posed.plain_error(weight), SMALLEST)
        probes.append((posed.layer, weight.astype(np.float32)))
        progress(len(probes), 2 * len(read), posed.layer.name)
    lost = losses_of_probes(model, probes, samples, options, progress) if probes else {}
    trust = 1.0 if samples.source == "dataset" else MADE_UP
    harms = {name: (lost[name].harm / error) ** trust for name, error in errors.items()}
    return ChannelProfile(tuple(layer.name for layer in layers), tuple(harms.get(layer.name, 0.0) for layer in layers))


def heaviest(problem: LayerProblem, channels: int) -> Mask:
    """The columns (c,) of all but PROBED of a layer's input channels: of those by which its outputs vary most, each alone."""
    energy = np.einsum("gcc,grc->c", problem.hessian, problem.original**2).reshape(channels, -1).sum(axis=1)
    kept = np.ones(channels, np.bool_)
    kept[np.argsort(energy, kind="stable")[: int(PROBED * channels)]] = False
    return np.repeat(kept, problem.original.shape[2] // channels)
