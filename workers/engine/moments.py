"""Second-order statistics of a layer, accumulated batch by batch: all that a method needs to know of the data.

Sums are taken about a reference point (the mean of the first batch), so that float32 products keep their digits where the
mean is large against the spread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workers.methods.problem import Array, Work, working_precision

Float32 = NDArray[np.float32]


class InputMoments:
    """Mean and covariance of the input rows y of a layer, also of two halves of the samples, which tell how far both are known.

    Rows of one sample are alike, so that the halves are of whole samples: a classifier has seen as many inputs as samples.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2)  # rows of each half
        self._origin: Float32 | None = None  # (g, 1, c)
        self._sums: Array = np.zeros((2, 1, 1))  # (2, g, c) of y - origin
        self._gram: Array = np.zeros(())  # (g, c, c) of y - origin
        self._contrast: Work = np.zeros((), np.float32)  # (g, c, c)  that of the first half less that of the second

    def add(self, rows: Float32, half: int = 0) -> Float32:
        """Count the rows (g, n, c) of a batch of one half, which are moved: returns them about the origin."""
        if self._origin is None:
            self._origin = rows.mean(axis=1, keepdims=True)
            self._sums = np.zeros((2, rows.shape[0], rows.shape[2]))
        rows -= self._origin
        self._counts[half] += rows.shape[1]
        self._sums[half] += rows.sum(axis=1)
        product = gram(rows, rows)
        self._gram = accumulated(self._gram, product)
        self._contrast = accumulated(self._contrast, np.negative(product, out=product) if half else product)
        return rows

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self._counts.sum())

    @property
    def offset(self) -> Array:
        """Mean of y - origin, (g, c)."""
        return np.asarray(self._sums.sum(axis=0) / self.count)

    @property
    def mean(self) -> Array:
        """E[y], (g, c)."""
        assert self._origin is not None
        return self._origin[:, 0] + self.offset

    @property
    def covariance(self) -> Array:
        """E[(y - E y)(y - E y)ᵀ], (g, c, c)."""
        return self._gram / self.count - self.offset[:, :, None] * self.offset[:, None, :]

    @property
    def halves(self) -> tuple[Array, Array]:
        """The covariance of each half of the samples; twice that of all where there is but one."""
        if not self._counts.all():
            return self.covariance, self.covariance
        means = self._sums / self._counts[:, None, None]
        grams = (self._gram + self._contrast) / 2, (self._gram - self._contrast) / 2
        first, second = (g / n - m[:, :, None] * m[:, None, :] for g, n, m in zip(grams, self._counts, means, strict=True))
        return first, second

    @property
    def noise(self) -> float:
        """How much of the covariance is chance: the part that a multiple of the identity should make up for.

        Ledoit and Wolf 2004, Eq. 10-14, with the variance of H taken from its two halves; 0 where there is but one.
        """
        if not self._counts.all():
            return 0.0
        first, second = self._counts
        both, apart = (1 / first - 1 / second) / 2, (1 / first + 1 / second) / 2  # H of one half less that of the other
        square = _inner(self._gram, self._gram)
        gap = both**2 * square + apart**2 * _inner(self._contrast, self._contrast)
        gap += 2 * both * apart * _inner(self._gram, self._contrast)
        size = np.einsum("gcc->g", self._gram) / self.count / self._gram.shape[1]  # of the diagonal, on average
        spread = square / self.count**2 - self._gram.shape[1] * size**2
        live = size > 0
        chance = float(np.sum(gap[live] / size[live] ** 2)) * first * second / self.count**2
        total = float(np.sum(spread[live] / size[live] ** 2))
        return min(chance / total, 1.0) if total > 0 else 0.0


def _inner(one: Work, other: Work) -> Array:
    """Σ over both axes of matrices (g, c, c), by group."""
    return np.asarray(np.einsum("gij,gij->g", one, other, dtype=np.float64))


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


def accumulated(total: Work, part: Float32) -> Work:
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
    variance: Array  # (g, r)  of every row of z
    noise: float = 0.0  # share of H that is chance

    @property
    def energy(self) -> float:
        """E‖z‖², summed over rows and groups."""
        return float(self.variance.sum())

    def change(self, before: Array, after: Array) -> float:
        """E‖(W − Ŵ) y‖² / E‖W y‖² about the means, for weights W and Ŵ (g, r, c)."""
        whole = output_energy(before, self.covariance)
        return output_energy(before - after, self.covariance) / whole if whole else 0.0

    def error(self, weight: Array) -> float:
        """E‖z − Ŵ y‖² about the means, for `weight` (g, r, c)."""
        quadratic = np.sum((weight @ self.covariance) * weight)
        return max(float(self.energy - 2 * np.sum(weight * self.cross) + quadratic), 0.0)


def output_energy(weight: Array, metric: Array) -> float:
    """tr(W H Wᵀ) of weights (g, r, c) in a metric H (g, c, c), summed over the groups."""
    dtype = working_precision(metric)
    rows = weight.astype(dtype)
    return float(np.sum((rows @ metric.astype(dtype)) * rows, dtype=np.float64))


Outputs = Mapping[str, OutputMoments | ImpliedOutputs]  # by operation


def pool(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> LayerMoments:
    """Merge the statistics of the operations that share a weight, each about its own mean."""
    outputs = list(outputs)
    counts = [moments.inputs.count for moments in outputs]
    share = [count / sum(counts) for count in counts]
    return LayerMoments(
        covariance=sum((p * m.inputs.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        cross=sum((p * m.covariance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        variance=sum((p * m.variance for p, m in zip(share, outputs, strict=True)), start=np.zeros(())),
        noise=sum(p * m.inputs.noise for p, m in zip(share, outputs, strict=True)),
    )


def pool_halves(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> tuple[Array, Array]:
    """The covariance (g, c, c) of the inputs of such operations in each half of the samples."""
    inputs = [moments.inputs for moments in outputs]
    total = sum(entry.count for entry in inputs)
    parts = [(entry.count / total, entry.halves) for entry in inputs]
    first, second = (sum((share * halves[half] for share, halves in parts), start=np.zeros(())) for half in (0, 1))
    return first, second
