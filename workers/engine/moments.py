"""Second-order statistics of a layer, accumulated batch by batch: all that a method needs to know of the data.

Sums are taken about a reference point (the mean of the first batch), so that float32 products keep their digits where the
mean is large against the spread.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from workers.engine.gram import Float32, Gram, cross_product
from workers.methods.problem import Array, Work
from workers.threads import ALONE, Threads, parts_of_rows


class InputMoments:
    """Mean and covariance of the input rows y of a layer, also of two halves of the samples, which tell how far both are known.

    Rows of one sample are alike, so that the halves are of whole samples: a classifier has seen as many inputs as samples.
    """

    def __init__(self, threads: Threads = ALONE) -> None:
        self.threads = threads
        self._counts = np.zeros(2)  # rows of each half
        self._origin: Float32 | None = None  # (g, 1, c)
        self._sums: Array = np.zeros((2, 1, 1))  # (2, g, c) of y - origin
        self._grams: list[Gram] = []  # of y - origin, of each half

    def add(self, rows: Float32, half: int = 0) -> Float32:
        """Count the rows (g, n, c) of a batch of one half, which are moved: returns them about the origin."""
        groups, _, cols = rows.shape
        if self._origin is None:
            self._origin = (_sum(rows) / rows.shape[1])[:, None]
            self._sums = np.zeros((2, groups, cols))
            self._grams = [Gram(groups, cols, self.threads), Gram(groups, cols, self.threads)]
        rows -= self._origin
        self._counts[half] += rows.shape[1]
        self._sums[half] += _sum(rows)
        self._grams[half].add(rows)
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
    def covariance(self) -> Work:
        """E[(y - E y)(y - E y)ᵀ], (g, c, c)."""
        return _centred(self._grams[0].whole(self._grams[1]), self.count, self.offset, self.threads)

    @property
    def halves(self) -> tuple[Work, Work]:
        """The covariance of each half of the samples; twice that of all where there is but one."""
        if not self._counts.all():
            return self.covariance, self.covariance
        first, second = (
            _centred(gram.whole(), count, total / count, self.threads)
            for gram, count, total in zip(self._grams, self._counts, self._sums, strict=True)
        )
        return first, second

    @property
    def noise(self) -> float:
        """How much of the covariance is chance: the part that a multiple of the identity should make up for.

        Ledoit and Wolf 2004, Eq. 10-14, with the variance of H taken from its two halves; 0 where there is but one.
        """
        if not self._counts.all():
            return 0.0
        (one, other), (first, second) = self._grams, self._counts
        squares = one.inner(one), one.inner(other), other.inner(other)
        gap = squares[0] / first**2 - 2 * squares[1] / (first * second) + squares[2] / second**2  # ‖H₁ − H₂‖²
        cols = self._sums.shape[2]
        size = (one.diagonal + other.diagonal).sum(axis=1) / self.count / cols  # of the diagonal, on average
        spread = (squares[0] + 2 * squares[1] + squares[2]) / self.count**2 - cols * size**2
        live = size > 0
        chance = float(np.sum(gap[live] / size[live] ** 2)) * first * second / self.count**2
        total = float(np.sum(spread[live] / size[live] ** 2))
        return min(max(chance, 0.0) / total, 1.0) if total > 0 else 0.0


def _sum(rows: Float32) -> Float32:
    """Of rows (g, n, c), (g, c): a product, which NumPy's sums of many short rows take eight times as long for."""
    return np.asarray(np.ones(rows.shape[1], rows.dtype) @ rows)


def _centred(gram: Work, count: float, offset: Array, threads: Threads) -> Work:
    """`gram` (g, c, c) of so many rows as their covariance, in place; `offset` (g, c) is their mean."""
    mean = offset.astype(gram.dtype)

    def some_rows(part: slice) -> None:
        gram[:, part] /= count
        gram[:, part] -= mean[:, part, None] * mean[:, None, :]

    threads.each(some_rows, parts_of_rows(gram))
    return gram


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
            self._origin = (_sum(rows) / rows.shape[1])[:, None]
        rows -= self._origin
        self._sum = self._sum + _sum(rows)
        self._cross = self._cross + cross_product(rows, shifted_inputs, self.inputs.threads)
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


class OriginalInputs(OutputMoments):
    """Mean and covariance of the input rows x of a layer in the original, and their covariance with those it gets, y."""

    def __init__(self, inputs: InputMoments) -> None:
        super().__init__(inputs)
        self._gram: Gram | None = None  # of x - origin

    def add(self, rows: Float32, shifted_inputs: Float32) -> None:
        """Count rows x (g, n, c), which are moved, beside the rows y that `InputMoments.add` returned."""
        super().add(rows, shifted_inputs)
        self._gram = self._gram or Gram(rows.shape[0], rows.shape[2], self.inputs.threads)
        self._gram.add(rows)

    @property
    def own(self) -> Work:
        """E[(x - E x)(x - E x)ᵀ], (g, c, c)."""
        assert self._gram is not None
        return _centred(self._gram.whole(), self.inputs.count, self.offset, self.inputs.threads)


class ImpliedOutputs:
    """The outputs z = W x of a layer: their moments follow from those of x, without a row of z.

    x are the inputs in the original, where they are given, and else the layer's own, y.
    """

    def __init__(self, inputs: InputMoments, weight: Array, original: OriginalInputs | None = None) -> None:
        self.inputs = inputs
        self._weight = weight  # (g, r, c)
        self._original = original

    @property
    def mean(self) -> Array:
        """E[z] but for the bias, (g, r)."""
        return np.asarray(np.einsum("grc,gc->gr", self._weight, (self._original or self.inputs).mean))

    @cached_property
    def covariance(self) -> Array:
        """E[(z - E z)(y - E y)ᵀ] = W E[x yᵀ], (g, r, c)."""
        return in_metric(self._weight, (self._original or self.inputs).covariance, self.inputs.threads)

    @property
    def variance(self) -> Array:
        """E[(z - E z)²], (g, r)."""
        image = in_metric(self._weight, self._original.own, self.inputs.threads) if self._original else self.covariance
        return np.asarray(np.einsum("grc,grc->gr", image, self._weight))


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """The pooled, centred statistics of one layer over all operations that share its weight."""

    covariance: Work  # (g, c, c)  H, not damped, in the precision of products with it
    cross: Array  # (g, r, c)  E[z yᵀ]
    variance: Array  # (g, r)  of every row of z
    noise: float = 0.0  # share of H that is chance

    @property
    def energy(self) -> float:
        """E‖z‖², summed over rows and groups."""
        return float(self.variance.sum())

    def error(self, weight: Array, image: Array) -> float:
        """E‖z − Ŵ y‖² about the means, for `weight` Ŵ (g, r, c) and its product with H, `image`."""
        return max(float(self.energy + np.sum(weight * (image - 2 * self.cross))), 0.0)


def in_metric(weight: Array, metric: Work, threads: Threads = ALONE) -> Array:
    """W H of weights (g, r, c) and a metric H (g, c, c), in the metric's precision."""
    return threads.converted(threads.product(threads.converted(weight, metric.dtype), metric), np.float64)


def output_energy(weight: Array, metric: Work, threads: Threads = ALONE) -> float:
    """tr(W H Wᵀ) of weights (g, r, c) in a metric H (g, c, c), summed over the groups."""
    return float(np.sum(in_metric(weight, metric, threads) * weight))


Outputs = Mapping[str, OutputMoments | ImpliedOutputs]  # by operation


def pool(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> LayerMoments:
    """Merge the statistics of the operations that share a weight, each about its own mean."""
    outputs = list(outputs)
    shares = _shares(outputs)
    return LayerMoments(
        covariance=_mean(shares, (moments.inputs.covariance for moments in outputs)),
        cross=_mean(shares, (moments.covariance for moments in outputs)),
        variance=_mean(shares, (moments.variance for moments in outputs)),
        noise=pool_noise(outputs),
    )


def pool_noise(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> float:
    """The share of H that is chance, over the operations that share a weight."""
    outputs = list(outputs)
    return sum(share * moments.inputs.noise for share, moments in zip(_shares(outputs), outputs, strict=True))


def pool_halves(outputs: Iterable[OutputMoments | ImpliedOutputs]) -> tuple[Work, Work]:
    """The covariance (g, c, c) of the inputs of such operations in each half of the samples."""
    outputs = list(outputs)
    first, second = zip(*(moments.inputs.halves for moments in outputs), strict=True)
    return _mean(_shares(outputs), first), _mean(_shares(outputs), second)


def _shares(outputs: Sequence[OutputMoments | ImpliedOutputs]) -> list[float]:
    """The part of all rows that each has seen."""
    counts = [moments.inputs.count for moments in outputs]
    return [count / sum(counts) for count in counts]


def _mean(shares: Iterable[float], parts: Iterable[Work]) -> Work:
    """Σ p x; a single part is not copied, it may be large."""
    return reduce(np.add, (part if share == 1 else share * part for share, part in zip(shares, parts, strict=True)))
