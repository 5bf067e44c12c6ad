"""Intervals against published figures, scipy, likelihoods maximised by brute force, and exact coverage."""

from collections.abc import Callable
from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from workers.statistics.intervals import (
    Interval,
    Paired,
    bootstrap,
    paired_difference,
    paired_relative_drop,
    proportion,
    student_quantile,
    upper_mean,
)

counts = st.integers(0, 300)


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 1), (913, 1017), (20, 20)])
def test_a_proportion_of_yes_and_no_has_wilsons_interval(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    outcomes = np.arange(n) < successes
    assert ends(proportion(outcomes.astype(float))) == pytest.approx((expected.low, expected.high))


def test_a_proportion_of_shares_is_as_narrow_as_the_shares_are_alike() -> None:
    shares = np.random.default_rng(0).normal(0.97, 0.01, 200)
    low, high = ends(proportion(shares))
    assert (high - low) / 2 == pytest.approx(1.96 * shares.std() / np.sqrt(200), rel=0.2)


def test_few_equal_shares_are_not_certainty() -> None:
    low, high = ends(proportion(np.full(3, 0.9)))
    assert low < 0.8
    assert high > 0.95


def test_paired_difference_is_the_one_published() -> None:
    airway_responsiveness = Paired(both=1, lost=1, gained=7, neither=12)  # Fagerland, Lydersen and Laake 2014, table 8
    assert ends(paired_difference(airway_responsiveness)) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_no_changed_outcome_still_leaves_doubt() -> None:
    n, z = 1000, 1.959964
    low, high = ends(paired_difference(Paired(900, 0, 0, n - 900)))
    assert high == pytest.approx(z**2 / (n + z**2), rel=1e-5)
    assert low == pytest.approx(-high)


def most_likely(paired: Paired, gained_when_lost: tuple[float, float], some: float | None) -> tuple[float, float]:
    """(lost, gained) of greatest likelihood on the line gained = intercept + slope lost, found by search."""
    intercept, slope = gained_when_lost

    def surprise(lost: float) -> float:
        gained = intercept + slope * lost
        rest = (1.0 if some is None else some) - lost - gained
        kept = paired.n - paired.lost - paired.gained - (0 if some is None else paired.neither)
        cells = ((paired.lost, lost), (paired.gained, gained), (kept, rest))
        if any(share <= 0 for _, share in cells):
            return 1e9
        return -sum(count * log(share) for count, share in cells)

    grid = np.linspace(1e-9, 1, 4001)
    start = grid[int(np.argmin([surprise(lost) for lost in grid]))]
    found = optimize.minimize_scalar(
        surprise, bounds=(max(start - 3e-4, 0), start + 3e-4), method="bounded", options={"xatol": 1e-12}
    )
    return float(found.x), intercept + slope * float(found.x)


@pytest.mark.parametrize("paired", [Paired(80, 12, 5, 23), Paired(40, 3, 9, 8), Paired(500, 40, 25, 35)])
def test_the_bounds_of_a_difference_solve_the_score_equation(paired: Paired) -> None:
    for bound, sign in zip(ends(paired_difference(paired)), (1, -1), strict=True):
        lost, gained = most_likely(paired, (-bound, 1.0), None)
        error = np.sqrt((lost + gained - bound**2) / paired.n)
        assert ((paired.lost - paired.gained) / paired.n - bound) / error == pytest.approx(sign * 1.959964, abs=1e-3)


@pytest.mark.parametrize("paired", [Paired(80, 12, 5, 23), Paired(40, 3, 9, 8), Paired(500, 40, 25, 35)])
def test_the_bounds_of_a_relative_drop_solve_the_score_equation(paired: Paired) -> None:
    some = 1 - paired.neither / paired.n  # its likeliest value does not depend on the ratio
    before, after = (paired.both + paired.lost) / paired.n, (paired.both + paired.gained) / paired.n
    for bound, sign in zip(ends(paired_relative_drop(paired)), (-1, 1), strict=True):
        ratio = 1 - bound
        lost, gained = most_likely(paired, ((ratio - 1) / ratio * some, 1 / ratio), some)
        error = np.sqrt(ratio * (lost + gained) / paired.n)
        assert (after - ratio * before) / error == pytest.approx(sign * 1.959964, abs=1e-3)


@given(counts.filter(bool), counts, counts, counts)
def test_paired_intervals_hold_their_estimates(both: int, lost: int, gained: int, neither: int) -> None:
    paired = Paired(both, lost, gained, neither)
    for interval in (paired_difference(paired), paired_relative_drop(paired)):
        low, high = ends(interval)
        assert low - 1e-9 <= interval.value <= high + 1e-9
        assert high - low > 1e-4


@pytest.mark.parametrize("interval_of", [paired_difference, paired_relative_drop])
def test_paired_intervals_cover_the_truth_as_often_as_they_say(interval_of: Callable[[Paired], Interval]) -> None:
    n, rates = 40, np.array([0.8, 0.08, 0.04, 0.08])
    truth = 0.04 if interval_of is paired_difference else 1 - 0.84 / 0.88
    covered = 0.0
    for lost, gained, neither in product(range(13), range(10), range(13)):
        paired = Paired(n - lost - gained - neither, lost, gained, neither)
        low, high = ends(interval_of(paired))
        cells = (paired.both, lost, gained, neither)
        covered += stats.multinomial.pmf(cells, n, rates) * (low <= truth <= high)
    assert 0.94 < covered < 0.97


@pytest.mark.parametrize("freedom", [5, 9, 19, 100])
def test_the_quantile_is_students(freedom: int) -> None:
    assert student_quantile(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows.mean(axis=1))


def test_bootstrap_of_a_mean_is_students_interval() -> None:
    rows = np.random.default_rng(0).normal(3, 2, 20)
    expected = stats.t.interval(0.95, 19, rows.mean(), stats.sem(rows))
    assert ends(bootstrap(rows, mean, np.random.default_rng(1))) == pytest.approx(expected, abs=0.15)


def test_bootstrap_repeats_with_its_seed() -> None:
    rows = np.random.default_rng(0).exponential(size=50)
    assert bootstrap(rows, mean, np.random.default_rng(1)) == bootstrap(rows, mean, np.random.default_rng(1))


def test_bootstrap_of_too_few_rows_has_no_bounds() -> None:
    assert bootstrap(np.arange(4.0), mean, np.random.default_rng(0)) == Interval(1.5, None, None)


def test_an_interval_without_bounds_excludes_nothing() -> None:
    assert Interval(2.0, 1.9, 2.1).excludes(1.0)
    assert not Interval(2.0, None, None).excludes(1.0)


def test_the_upper_bound_of_a_skewed_mean_covers_it() -> None:
    rng = np.random.default_rng(0)
    n, repeats = 200, 1000
    true = np.exp(0.5)  # mean of a log-normal distribution
    covered = 0
    for values in rng.lognormal(size=(repeats, n)):
        third = float(np.mean((values - values.mean()) ** 3))
        covered += upper_mean(float(values.mean()), float(values.std(ddof=1)), third, n, 0.9) >= true
    assert 0.92 <= covered / repeats <= 0.98


def test_the_upper_bound_of_equal_values_is_their_value() -> None:
    assert upper_mean(0.25, 0.0, 0.0, 50, 0.9) == 0.25
