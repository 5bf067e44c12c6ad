"""Second-order statistics of a layer, accumulated batch by batch: all that a method needs to know of the data.

Sums are taken about a reference point (the mean of the first batch), so that float32 products keep their digits where the
mean is large against the spread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

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
        """Count the rows (g, n, c) of a batch, which are moved: returns them about the origin."""
        if self._origin is None:
            self._origin = rows.mean(axis=1, keepdims=True)
        rows -= self._origin
        self.count += rows.shape[1]
        self._sum = self._sum + rows.sum(axis=1)
        self._gram = accumulated(self._gram, gram(rows, rows))
        return rows

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
        """Count output rows (g, n, r), which are moved, beside the input rows that `InputMoments.add` returned."""
        if self._origin is None:
            self._origin = rows.mean(axis=1, keepdims=True)
        rows -= self._origin
        self._sum = self._sum + rows.sum(axis=1)
        self._cross = accumulated(self._cross, gram(rows, shifted_inputs))
        self._square = self._square + np.einsum("gnr,gnr->gr", rows, rows)

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


class ImpliedOutputs:
    """The outputs z = W y of a layer on its own inputs y: their moments follow from those of y, without a row of z."""

    def __init__(self, inputs: InputMoments, weight: Array) -> None:
        self.inputs = inputs
        self._weight = weight  # (g, r, c)

    @property
    def mean(self) -> Array:
        """E[z] but for the bias, (g, r)."""
        return np.asarray(np.einsum("grc,gc->gr", self._weight, self.inputs.mean))

    @cached_property
    def covariance(self) -> Array:
        """E[(z - E z)(y - E y)ᵀ] = W H, (g, r, c)."""
        return np.asarray(self._weight @ self.inputs.covariance)

    @property
    def variance(self) -> Array:
        """E[(z - E z)²], (g, r)."""
        return np.asarray(np.einsum("grc,grc->gr", self.covariance, self._weight))


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


Outputs = Mapping[str, OutputMoments | ImpliedOutputs]  # by operation


def pool(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> LayerMoments:
    """Merge the statistics of the operations that share a weight, each about its own mean."""
    outputs = list(outputs)
    counts = [moments.inputs.count for moments in outputs]
    share = [count / sum(counts) for count in counts]
    return LayerMoments(
        covariance=sum((p * m.inputs.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        cross=sum((p * m.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        energy=sum(p * float(m.variance.sum()) for p, m in zip(share, outputs, strict=True)),
    )
