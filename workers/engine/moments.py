"""Second-order statistics of a layer, accumulated batch by batch: all that a method needs to know of the data.

Sums are taken about a reference point (the mean of the first batch), so that float32 products keep their digits where the
mean is large against the spread.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.methods.problem import Array

Float32 = NDArray[np.float32]


class InputMoments:
    """Mean and covariance of the input rows y of a layer."""

    def __init__(self) -> None:
        self.count = 0
        self._origin: Float32 | None = None  # (g, 1, c)
        self._sum: Array = np.zeros(())  # (g, c) of y - origin
        self._gram: Array = np.zeros(())  # (g, c, c) of y - origin

    def add(self, rows: Float32) -> Float32:
        """Count the rows (g, n, c) of a batch; returns them about the origin."""
        if self._origin is None:
            self._origin = rows.mean(axis=1, keepdims=True)
        shifted = rows - self._origin
        self.count += rows.shape[1]
        self._sum = self._sum + shifted.sum(axis=1, dtype=np.float64)
        self._gram = accumulated(self._gram, gram(shifted, shifted))
        return shifted

    @property
    def offset(self) -> Array:
        """Mean of y - origin, (g, c)."""
        return self._sum / self.count

    @property
    def mean(self) -> Array:
        """E[y], (g, c)."""
        assert self._origin is not None
        return self._origin[:, 0] + self.offset

    @property
    def covariance(self) -> Array:
        """E[(y - E y)(y - E y)ᵀ], (g, c, c)."""
        return self._gram / self.count - self.offset[:, :, None] * self.offset[:, None, :]


class OutputMoments:
    """Mean and energy of the original output rows z of a layer, and their covariance with its inputs."""

    def __init__(self, inputs: InputMoments) -> None:
        self.inputs = inputs
        self._origin: Float32 | None = None  # (g, 1, r)
        self._sum: Array = np.zeros(())  # (g, r)
        self._cross: Array = np.zeros(())  # (g, r, c)
        self._square: Array = np.zeros(())  # (g, r)

    def add(self, rows: Float32, shifted_inputs: Float32) -> None:
        """Count output rows (g, n, r) beside the input rows that `InputMoments.add` returned."""
        if self._origin is None:
            self._origin = rows.mean(axis=1, keepdims=True)
        shifted = rows - self._origin
        self._sum = self._sum + shifted.sum(axis=1, dtype=np.float64)
        self._cross = accumulated(self._cross, gram(shifted, shifted_inputs))
        self._square = self._square + np.square(shifted, dtype=np.float64).sum(axis=1)

    @property
    def offset(self) -> Array:
        """Mean of z - origin, (g, r)."""
        return self._sum / self.inputs.count

    @property
    def mean(self) -> Array:
        """E[z], (g, r)."""
        assert self._origin is not None
        return self._origin[:, 0] + self.offset

    @property
    def covariance(self) -> Array:
        """E[(z - E z)(y - E y)ᵀ], (g, r, c)."""
        return self._cross / self.inputs.count - self.offset[:, :, None] * self.inputs.offset[:, None, :]

    @property
    def variance(self) -> Array:
        """E[(z - E z)²], (g, r)."""
        return self._square / self.inputs.count - self.offset**2


def accumulated(total: Array, part: Float32) -> Array:
    """total + part, in the memory of `total` once it has the shape; H of a large layer takes 170 MB."""
    return np.add(total, part, out=total if total.ndim else None)


def gram(left: Float32, right: Float32) -> Float32:
    """leftᵀ right over the rows: (g, n, a), (g, n, b) -> (g, a, b). One group alone takes BLAS's symmetric product."""
    if left.shape[0] > 1:
        return np.asarray(np.matmul(left.swapaxes(1, 2), right))
    return np.asarray((left[0].T @ right[0])[None])


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """The pooled, centred statistics of one layer over all operations that share its weight."""

    covariance: Array  # (g, c, c)  H, not damped
    cross: Array  # (g, r, c)  E[z yᵀ]
    energy: float  # E‖z‖², summed over rows and groups

    def error(self, weight: Array) -> float:
        """E‖z − Ŵ y‖² about the means, for `weight` (g, r, c)."""
        quadratic = np.sum((weight @ self.covariance) * weight)
        return max(float(self.energy - 2 * np.sum(weight * self.cross) + quadratic), 0.0)


def pool(outputs: list[OutputMoments]) -> LayerMoments:
    """Merge the statistics of the operations that share a weight, each about its own mean."""
    counts = [moments.inputs.count for moments in outputs]
    share = [count / sum(counts) for count in counts]
    return LayerMoments(
        covariance=sum((p * m.inputs.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        cross=sum((p * m.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        energy=sum(p * float(m.variance.sum()) for p, m in zip(share, outputs, strict=True)),
    )
