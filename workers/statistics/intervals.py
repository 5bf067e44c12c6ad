"""Intervals for what is measured: proportions, paired proportions, and bootstrap for everything else.

Samples are the unit. Every two-sided interval has 95 % confidence unless told otherwise; a one-sided 95 % bound is the end
of a two-sided 90 % interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
AT_ONCE = 50  # resamples, whose rows are in memory together


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between its bounds; the bounds are None where the samples are too few to tell."""

    value: float
    low: float | None
    high: float | None

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly on one side of `value`."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Paired:
    """Two yes/no outcomes on the same samples, counted; as real numbers, so that they can be scaled to other sample sizes."""

    both: float
    lost: float  # yes before, no after
    gained: float  # no before, yes after
    neither: float

    @classmethod
    def count(cls, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> "Paired":
        """Count the outcomes of two arrays (n,)."""
        cells = ((before & after), (before & ~after), (~before & after), (~before & ~after))
        return cls(*(float(np.count_nonzero(cell)) for cell in cells))

    @property
    def n(self) -> float:
        return self.both + self.lost + self.gained + self.neither

    def scaled(self, n: float) -> "Paired":
        """The same rates on `n` samples."""
        factor = n / self.n
        return Paired(self.both * factor, self.lost * factor, self.gained * factor, self.neither * factor)


def normal_quantile(confidence: float) -> float:
    """z with P(|Z| <= z) = confidence."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def student_quantile(confidence: float, freedom: int) -> float:
    """t with P(|T| <= t) = confidence, by the expansion of Abramowitz and Stegun 26.7.5: within 0.2 % from 5 degrees on."""
    z = normal_quantile(confidence)
    z3, z5, z7 = z**3, z**5, z**7
    first = (z3 + z) / 4
    second = (5 * z5 + 16 * z3 + 3 * z) / 96
    third = (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def proportion(shares: Values, confidence: float = CONFIDENCE) -> Interval:
    """Mean of `shares` (n,) in 0..1 with Wilson's score interval, for as many samples as the shares are worth."""
    return wilson(float(np.mean(shares)), effective_samples(shares), confidence)


def effective_samples(shares: Values) -> float:
    """How many yes/no outcomes tell as much about the mean as `shares` (n,) in 0..1 do: p (1 - p) / var, as for clusters.

    A share of a sample's anchors or pixels carries more than one yes/no outcome; for yes/no outcomes the result is n.
    The variance includes, with weight 1/n, the largest a share can have: a few equal samples are not certainty.
    """
    n, mean = len(shares), float(np.mean(shares))
    largest = mean * (1 - mean)
    variance = (float(np.sum((shares - mean) ** 2)) + largest / n) / (n + 1 / n)
    return n * largest / variance if variance > 0 else n


def wilson(share: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval (1927) of a share seen in `n` samples."""
    z = normal_quantile(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def paired_difference(paired: Paired, confidence: float = CONFIDENCE) -> Interval:
    """P(yes before) - P(yes after), with Tango's score interval (1998): McNemar's test turned into an interval.

    Unlike the Wald interval it keeps its width when few outcomes differ, and none of its coverage is lost there.
    """
    z = normal_quantile(confidence)
    value = (paired.lost - paired.gained) / paired.n
    return Interval(
        value,
        _root(lambda difference: _difference_score(paired, difference) - z, -1.0, value),
        _root(lambda difference: _difference_score(paired, difference) + z, value, 1.0),
    )


def paired_relative_drop(paired: Paired, confidence: float = CONFIDENCE) -> Interval:
    """1 - P(yes after) / P(yes before), with the score interval of Nam and Blackwelder (2002).

    Needs at least one sample that was right before.
    """
    z = normal_quantile(confidence)
    ratio = (paired.both + paired.gained) / (paired.both + paired.lost)
    lowest = _root(lambda theta: _ratio_score(paired, theta) - z, 0.0, ratio)
    highest = _root(lambda theta: _ratio_score(paired, theta) + z, ratio, 1e6)
    return Interval(1 - ratio, 1 - highest, 1 - lowest)


def upper_mean(mean: float, deviation: float, third: float, n: float, confidence: float) -> float:
    """The upper end of an interval for a mean of `n` skewed values, by Johnson's modified t (1978).

    `deviation` is the standard deviation of the values, `third` their third central moment. A mean of values with a long tail
    to the right is mostly seen too small; the third moment says by how much.
    """
    if deviation == 0:
        return mean
    quantile = student_quantile(confidence, max(int(n) - 1, 5))
    skew = max(third, 0.0) / (6 * deviation**2 * n) * (1 + 2 * quantile**2)
    return mean + quantile * deviation / sqrt(n) + skew


def bootstrap(rows: Values, statistic: Callable[[Values], Values], rng: np.random.Generator) -> Interval:
    """`statistic` of `rows` (n, ...), with the expanded percentile interval (Hesterberg 2015) over resampled rows.

    `statistic` takes many resamples at once, (resamples, n, ...) -> (resamples,). Percentiles are moved outwards as far as
    Student's t is wider than the normal distribution, which the plain percentile interval misses when rows are few. Fewer than
    5 rows give no bounds.
    """
    n = len(rows)
    value = float(statistic(rows[None])[0])
    if n < 5:
        return Interval(value, None, None)
    resampled = [statistic(rows[rng.integers(n, size=(AT_ONCE, n))]) for _ in range(RESAMPLES // AT_ONCE)]
    tail = NormalDist().cdf(-student_quantile(CONFIDENCE, n - 1) * sqrt(n / (n - 1)))
    low, high = np.quantile(np.concatenate(resampled), (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def _difference_score(paired: Paired, difference: float) -> float:
    """Tango (1998), eq. 7: how many standard errors the observed difference lies above `difference`."""
    n = paired.n
    a = 2 * n
    b = -paired.lost - paired.gained + (2 * n - paired.lost + paired.gained) * difference
    c = -paired.gained * difference * (1 - difference)
    gained = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # P(gained) of greatest likelihood under `difference`
    variance = n * (2 * gained + difference * (1 - difference))
    return _standardised(paired.lost - paired.gained - n * difference, variance)


def _ratio_score(paired: Paired, ratio: float) -> float:
    """Nam and Blackwelder (2002), eq. 4: how many standard errors P(after) lies above `ratio` P(before)."""
    n = paired.n
    before, after = (paired.both + paired.lost) / n, (paired.both + paired.gained) / n
    lost, gained, some = paired.lost / n, paired.gained / n, 1 - paired.neither / n
    if ratio == 0:
        return _standardised(after, 0.0)
    square = (after - ratio**2 * before) ** 2 + 4 * ratio**2 * lost * gained
    likely_gained = (-after + ratio**2 * (before + 2 * gained) + sqrt(square)) / (2 * ratio * (ratio + 1))
    likely_lost = ratio * likely_gained - (ratio - 1) * some
    return _standardised(after - ratio * before, ratio * max(likely_lost + likely_gained, 0.0) / n)


def _standardised(deviation: float, variance: float) -> float:
    if deviation == 0:
        return 0.0
    return deviation / sqrt(variance) if variance > 0 else float("inf") if deviation > 0 else float("-inf")


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero between `low` and `high`; the nearer end where it does not."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
