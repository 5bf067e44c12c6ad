"""A metric of two models on the same samples, and the bound of its drop by the paired bootstrap.

Samples are the unit that is resampled, and both models are scored on the same resample: what the samples have in common
cancels. Bounds are bias-corrected and accelerated (Efron 1987), with the skewness read off the resamples themselves, and moved
outwards as Student's t is wider than the normal distribution. A metric within 0..1 never gets a bound below that of as many
samples without any loss: a few equal samples are not certainty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from workers.statistics.intervals import CONFIDENCE, Interval, Values, normal_quantile, student_quantile

RESAMPLES = 1000
FEWEST_SAMPLES = 5  # below, a bootstrap has no bound worth the name
ONE_SIDED = 0.90  # a two-sided 90 % interval ends at the one-sided 95 % bound
DECIMALS = 12  # scores that differ by less are the same: sums in another order round differently

Reference = Literal["labels", "original"]
Scores = Callable[[Values], Values]  # how often each sample counts (r, n) -> (r, 2), before and after; NaN where undefined


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric as a function of how often each of its `n` samples counts."""

    name: str
    n: int
    scores: Scores
    reference: Reference
    bounded: bool = True  # within 0..1
    higher_is_better: bool = True

    def resampled(self, rng: np.random.Generator) -> "Resampled":
        """Score the samples as they are, and on resamples that `rng` draws."""
        drawn = rng.integers(self.n, size=(RESAMPLES, self.n)) + self.n * np.arange(1, RESAMPLES + 1)[:, None]
        every = np.concatenate([np.arange(self.n), drawn.reshape(-1)])
        counts = np.bincount(every, minlength=(1 + RESAMPLES) * self.n).reshape(-1, self.n).astype(np.float64)
        return Resampled(self, np.round(self.scores(counts), DECIMALS))


@dataclass(frozen=True)
class Resampled:
    """What a measure came to on the samples (the first row), and on resamples of them."""

    measure: Measure
    rows: Values  # (1 + RESAMPLES, 2)

    @property
    def defined(self) -> bool:
        """Whether the samples define the metric for both models."""
        return bool(np.isfinite(self.rows[0]).all())

    @cached_property
    def original(self) -> Interval:
        """The metric of the original."""
        return _interval(self.rows[:, 0], self.measure.n)

    @cached_property
    def compressed(self) -> Interval:
        """The metric of the compressed model."""
        return _interval(self.rows[:, 1], self.measure.n)

    @cached_property
    def kept(self) -> Interval:
        """How much of a metric within 0..1 is left: 1 where nothing was lost."""
        lost = self.drop
        low, high = (None if end is None else 1 - end for end in (lost.high, lost.low))
        return Interval(1 - lost.value, low, high)

    @cached_property
    def drop(self) -> Interval:
        """What was lost, positive where the compressed model is worse."""
        return _interval(self.losses(), self.measure.n)

    def losses(self, *, relative: bool = False) -> Values:
        """What was lost on the samples and on every resample, (1 + RESAMPLES,); relative to the original's metric if asked."""
        before, after = self.rows.T
        lost = before - after if self.measure.higher_is_better else after - before
        with np.errstate(divide="ignore", invalid="ignore"):
            losses: Values = lost / np.abs(before) if relative else lost
            return losses

    def bound(self, n: float, *, relative: bool = False) -> float:
        """The one-sided 95 % upper bound of the drop, had the same been seen on `n` samples; infinite for too few."""
        if self.measure.n < FEWEST_SAMPLES:
            return float("inf")
        losses = self.losses(relative=relative)
        width = _quantile(losses, self.measure.n, ONE_SIDED) - losses[0]
        scaled = float(losses[0] + width * sqrt(self.measure.n / n))
        return max(scaled, _least_bound(n)) if self.measure.bounded else scaled


def mean_measure(name: str, sides: Sequence[ArrayLike], reference: Reference, **told: bool) -> Measure:
    """The mean of a score of every sample, (n,) before and after; samples where it is NaN do not count."""
    pair: Values = np.stack([np.asarray(side, np.float64) for side in sides], axis=1)
    known: Values = np.repeat(np.isfinite(pair).all(axis=1, keepdims=True), 2, axis=1).astype(np.float64)
    return ratio_measure(name, np.where(known > 0, pair, 0), known, reference, **told)


def ratio_measure(name: str, parts: Values, wholes: Values, reference: Reference, **told: bool) -> Measure:
    """The sum of `parts` over the sum of `wholes`, (n, 2) each: before and after."""

    def scores(counts: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Values = (counts @ parts) / (counts @ wholes)
            return ratio

    return Measure(name, len(parts), scores, reference, **told)


def both(metric: Callable[[Any, Values], Values], before: Any, after: Any) -> Scores:
    """`metric` of what was found before and after, given how often each sample counts."""
    return lambda counts: np.stack([metric(before, counts), metric(after, counts)], axis=1)


def _least_bound(n: float) -> float:
    """The bound of `n` yes/no outcomes without a no, by Wilson."""
    square = normal_quantile(ONE_SIDED) ** 2
    return square / (n + square)


def _interval(rows: Values, n: int) -> Interval:
    value = float(rows[0])
    if n < FEWEST_SAMPLES or not np.isfinite(rows).any():
        return Interval(value, None, None)
    return Interval(value, min(value, -_quantile(-rows, n, CONFIDENCE)), max(value, _quantile(rows, n, CONFIDENCE)))


def _quantile(rows: Values, n: int, confidence: float) -> float:
    """The upper end of the two-sided interval of `confidence` for what `rows` begins with."""
    value, draws = rows[0], rows[1:][np.isfinite(rows[1:])]
    deviation = float(draws.std()) if len(draws) else 0.0
    if deviation == 0:
        return float(value)
    acceleration = float(np.mean((draws - draws.mean()) ** 3)) / deviation**3 / 6
    below = float(np.mean(draws < value) + np.mean(draws == value) / 2)
    bias = NormalDist().inv_cdf(min(max(below, 1 / len(draws)), 1 - 1 / len(draws)))
    reach = bias + student_quantile(confidence, max(n - 1, 5)) * sqrt(n / (n - 1))
    tail = NormalDist().cdf(bias + reach / (1 - acceleration * reach)) if acceleration * reach < 1 else 1.0
    return float(np.quantile(draws, tail))
