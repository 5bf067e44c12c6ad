"""What quantised activations did to the outputs of layers, and biases that make up for the shift of their means.

The biases are set one layer after another on the inputs that the quantised model really has, so that a layer does not
inherit what the layers before it have lost on average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import openvino as ov

from workers.calibration import Samples
from workers.enrolment import Frontiers, Stream, schedule
from workers.ir.edit import Bias, read_bias, write_bias
from workers.ir.folding import folded
from workers.ir.frontier import advance
from workers.ir.layers import Float32, Layer, nodes_by_name
from workers.ir.segments import cut
from workers.methods.problem import Array


@dataclass(slots=True)
class Drift:
    """How the output ẑ of one operation differs from the original's z, summed over the positions seen so far."""

    layer: Layer
    samples: int = 0
    positions: int = 0
    sums: Array = field(default_factory=lambda: np.zeros(()))  # (4, g, r): of z − ẑ, its square, z, and its square

    def add(self, before: Float32, after: Float32) -> None:
        """Count the outputs z and ẑ of one more sample."""
        index = np.arange(self.layer.geometry.positions(before.shape))
        z = self.layer.geometry.output_rows(before, index).astype(np.float64)
        lost = z - self.layer.geometry.output_rows(after, index)
        self.sums = self.sums + np.stack([values.sum(axis=1) for values in (lost, lost**2, z, z**2)])
        self.positions += index.size
        self.samples += 1

    @property
    def shift(self) -> Array:
        """E[z − ẑ], (channels,)."""
        return np.asarray(self.sums[0] / self.positions).reshape(-1)

    @property
    def error(self) -> float:
        """E‖z − ẑ‖², about the means."""
        return self._spread(0)

    @property
    def energy(self) -> float:
        """E‖z‖², about the mean."""
        return self._spread(2)

    def _spread(self, row: int) -> float:
        mean, square = self.sums[row : row + 2] / self.positions
        return float(np.sum(square - mean**2))


def realign(
    original: ov.Model,
    quantised: ov.Model,
    layers: Sequence[Layer],
    biases: Mapping[str, Bias],
    samples: Samples,
    threads: int,
) -> dict[str, Drift]:
    """Correct the biases of `quantised` in place; returns what had been wrong, by operation.

    Both models are of batch 1 and have the `biases`, by operation, of the `layers`.
    """
    names = [name for layer in layers for name in layer.nodes]
    exposed = [(biases[name].add, 0) for name in names]
    decoded = folded(quantised)
    dense, probe = cut(original.clone(), names, exposed), cut(decoded.clone(), names, exposed)
    sparse = cut(decoded, names)
    stream = Stream(samples, 1)
    frontiers = Frontiers(dense, sparse, stream, threads, alike=False)
    drifts = {name: Drift(layer) for layer in layers for name in layer.nodes}
    for phase, count in enumerate(schedule(dense.held, stream.length), start=1):
        before, after = frontiers.resize(phase, count)
        here = [name for name in names if dense.phases[name] == phase]
        for old, new in zip(advance(dense, phase, before, threads), advance(probe, phase, list(after), threads), strict=True):
            for name in here:
                drifts[name].add(old[biases[name].add, 0], new[biases[name].add, 0])
        for model in (quantised, *(segment.model for segment in sparse.segments[phase:])):
            _shift(model, {biases[name]: drifts[name].shift for name in here})
        for _ in advance(sparse, phase, after, threads):
            pass
    return drifts


def _shift(model: ov.Model, shifts: Mapping[Bias, Array]) -> None:
    present = nodes_by_name(model)
    for bias, shift in shifts.items():
        if bias.add in present:
            write_bias(model, bias, read_bias(model, bias) + shift)
