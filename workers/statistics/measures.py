"""A metric of two models on the same samples, and the bound of its drop.

Samples are the unit, and both models are scored on the same ones: what the samples have in common cancels. Outcomes that are
yes or no have exact intervals (Tango 1998). Everything else is resampled, and the moments of the resamples make Johnson's
modified t (1978): the spread by Student's quantile, moved by what the skewness hides, about a centre without the bootstrap's
bias. A metric within 0..1 never gets a bound below that of as many samples without any loss: a few equal samples are not
certainty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.statistics.intervals import (
    CONFIDENCE,
    Interval,
    Paired,
    Values,
    normal_quantile,
    paired_difference,
    paired_relative_drop,
    student_quantile,
    wilson,
)

RESAMPLES = 1000
FEWEST_SAMPLES = 5  # below, a bootstrap has no bound worth the name
ONE_SIDED = 0.90  # a two-sided 90 % interval ends at the one-sided 95 % bound
KURTOSIS = 2.0  # in excess of the normal distribution's, of what samples lose: their variance is known that much worse
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
    outcomes: Paired | None = None  # where every score is yes or no

    def resampled(self, rng: np.random.Generator) -> "Resampled":
        """Score the samples as they are, and on resamples that `rng` draws."""
        return self.scored(draw_resamples(self.n, rng))

    def scored(self, counts: Values) -> "Resampled":
        """Score the samples as often as they count in each row, the first of which is all of them once."""
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
        return self._of_model(0)

    @cached_property
    def compressed(self) -> Interval:
        """The metric of the compressed model."""
        return self._of_model(1)

    def _of_model(self, index: int) -> Interval:
        found = _interval(self.rows[:, index], self.measure.n)
        if found.low is None or found.high is None or not self.measure.bounded:
            return found
        if self.measure.outcomes:
            return wilson(found.value, self.measure.outcomes.n)
        return Interval(found.value, max(found.low, 0.0), min(found.high, 1.0))

    @cached_property
    def kept(self) -> Interval:
        """How much of a metric within 0..1 is left: 1 where nothing was lost."""
        lost = self.drop
        low, high = (None if end is None else 1 - end for end in (lost.high, lost.low))
        return Interval(1 - lost.value, low, high)

    @cached_property
    def drop(self) -> Interval:
        """What was lost, positive where the compressed model is worse."""
        if self.measure.outcomes and self.measure.n >= FEWEST_SAMPLES:
            return paired_difference(self.measure.outcomes)
        return _interval(self.losses(), self.measure.n)

    def losses(self, *, relative: bool = False) -> Values:
        """What was lost on the samples and on every resample, (1 + RESAMPLES,); relative to the original's metric if asked."""
        before, after = self.rows.T
        lost = before - after if self.measure.higher_is_better else after - before
        with np.errstate(divide="ignore", invalid="ignore"):
            losses: Values = lost / np.abs(before) if relative else lost
            return losses

    def bound(self, n: float, *, relative: bool = False, level: float = ONE_SIDED) -> float:
        """The upper end of the two-sided interval at `level` of the drop, had the same been seen on `n` samples.

        Infinite for too few; by default it is the one-sided 95 % bound.
        """
        if self.measure.n < FEWEST_SAMPLES:
            return float("inf")
        if self.measure.outcomes:
            interval_of = paired_relative_drop if relative else paired_difference
            return _end(interval_of(self.measure.outcomes.scaled(n * self.measure.outcomes.n / self.measure.n), level))
        losses = self.losses(relative=relative)
        width = _quantile(losses, self.measure.n, level) - losses[0]
        scaled = float(losses[0] + width * sqrt(self.measure.n / n))
        return max(scaled, least_bound(n, level)) if self.measure.bounded else scaled


def draw_resamples(n: int, rng: np.random.Generator) -> Values:
    """How often each of `n` samples counts: once, and then in each of the resamples, (1 + RESAMPLES, n)."""
    drawn = rng.integers(n, size=(RESAMPLES, n)) + n * np.arange(1, RESAMPLES + 1)[:, None]
    every = np.concatenate([np.arange(n), drawn.reshape(-1)])
    return np.bincount(every, minlength=(1 + RESAMPLES) * n).reshape(-1, n).astype(np.float64)


def mean_measure(name: str, sides: Sequence[ArrayLike], reference: Reference, **told: bool) -> Measure:
    """The mean of a score of every sample, (n,) before and after; samples where it is NaN do not count."""
    pair: Values = np.stack([np.asarray(side, np.float64) for side in sides], axis=1)
    counted: NDArray[np.bool_] = np.asarray(np.isfinite(pair).all(axis=1))
    known: Values = np.repeat(counted[:, None], 2, axis=1).astype(np.float64)
    measure = ratio_measure(name, np.where(known > 0, pair, 0), known, reference, **told)
    yes_or_no = counted.any() and measure.higher_is_better and np.isin(pair[counted], (0, 1)).all()
    return replace(measure, outcomes=Paired.count(*pair[counted].T.astype(bool))) if yes_or_no else measure


def ratio_measure(name: str, parts: Values, wholes: Values, reference: Reference, **told: Any) -> Measure:
    """The sum of `parts` over the sum of `wholes`, (n, 2) each: before and after."""

    def scores(counts: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Values = (counts @ parts) / (counts @ wholes)
            return ratio

    return Measure(name, len(parts), scores, reference, **told)


def both(metric: Callable[[Any, Values], Values], before: Any, after: Any) -> Scores:
    """`metric` of what was found before and after, given how often each sample counts."""
    return lambda counts: np.stack([metric(before, counts), metric(after, counts)], axis=1)


def least_bound(n: float, level: float) -> float:
    """The bound of `n` yes/no outcomes without a no, by Wilson."""
    square = normal_quantile(level) ** 2
    return square / (n + square)


def _interval(rows: Values, n: int) -> Interval:
    value = float(rows[0])
    if n < FEWEST_SAMPLES or not np.isfinite(rows).any():
        return Interval(value, None, None)
    return Interval(value, min(value, -_quantile(-rows, n, CONFIDENCE)), max(value, _quantile(rows, n, CONFIDENCE)))


def _quantile(rows: Values, n: int, confidence: float) -> float:
    """The upper end of the two-sided interval of `confidence` for what `rows` begins with."""
    value, draws = float(rows[0]), rows[1:][np.isfinite(rows[1:])]
    moved = draws - draws.mean() if len(draws) else draws
    variance = float(np.mean(moved**2)) if len(draws) else 0.0
    if variance == 0:
        return value
    student = student_quantile(confidence, max(round((n - 1) / (1 + KURTOSIS / 2)), 5))
    third = float(np.mean(moved**3)) * n**2 / ((n - 1) * (n - 2))  # of the population, as its variance is n / (n - 1) times
    skew = third / (6 * variance) * (1 + 2 * student**2)
    return 2 * value - float(draws.mean()) + student * sqrt(variance * n / (n - 1)) + skew


def _end(interval: Interval) -> float:
    return float("inf") if interval.high is None else interval.high
