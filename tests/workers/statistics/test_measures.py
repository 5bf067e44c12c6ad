"""The bootstrap's bounds by simulation, and the exact cases."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.recipe import Constraint
from workers.statistics.constraint import Outcomes, verify_constraint
from workers.statistics.intervals import Paired, paired_difference, paired_relative_drop
from workers.statistics.measures import draw_resamples, mean_measure, ratio_measure

RUNS, GROUP = 1000, 50  # runs, and how many of them share their resamples
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

LOSSES: dict[str, tuple[Draw, float]] = {  # losses of samples, and their mean
    "yes or no": (lambda rng, n: (rng.random(n) < 0.1).astype(float), 0.1),
    "lost and gained": (lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[0.08, 0.03, 0.89]), 0.05),
    "skewed": (lambda rng, n: rng.beta(0.5, 5, n), 0.5 / 5.5),
    "a few that are large": (
        lambda rng, n: np.where(rng.random(n) < 0.1, rng.beta(5, 2, n), rng.normal(0, 0.02, n)),
        0.1 * 5 / 7,
    ),
}


@pytest.mark.parametrize("losses", LOSSES)
def test_the_bound_covers_what_it_promises(losses: str) -> None:
    n = 100
    draw, mean = LOSSES[losses]
    rng = np.random.default_rng(1)
    covered = 0
    for run in range(RUNS):
        if run % GROUP == 0:
            counts = draw_resamples(n, rng)
        lost = draw(rng, n)
        before = np.where(lost < 0, 1 + lost, 1)
        covered += mean_measure("m", [before, before - lost], "original").scored(counts).bound(n) >= mean
    assert 0.92 <= covered / RUNS <= 0.98  # three standard errors about 94 to 97 %; benchmarks/coverage.py has the figures


def test_yes_or_no_has_the_exact_interval() -> None:
    before, after = np.arange(80) % 10 > 0, np.arange(80) % 8 > 0
    found = mean_measure("m", [before, after], "labels").resampled(np.random.default_rng(0))
    assert found.drop == paired_difference(Paired.count(before, after))
    assert found.bound(80) == pytest.approx(paired_difference(Paired.count(before, after), 0.90).high)
    assert found.bound(80, relative=True) == pytest.approx(paired_relative_drop(Paired.count(before, after), 0.90).high)


def test_what_did_not_change_is_no_certainty() -> None:
    perfect = mean_measure("m", [np.ones(60), np.ones(60)], "original").resampled(np.random.default_rng(0))
    assert perfect.drop.value == 0
    assert perfect.bound(60) == pytest.approx(1.645**2 / (60 + 1.645**2), rel=1e-3)
    assert perfect.bound(6000) < 0.001


def test_fewer_than_five_samples_have_no_bound() -> None:
    few = mean_measure("m", [np.ones(4), np.ones(4)], "original").resampled(np.random.default_rng(0))
    assert few.bound(4) == float("inf")
    verdict = verify_constraint(Constraint(metric="agreement", max_drop=0.5), Outcomes(False, measures=(few,)))
    assert verdict.met == "unverified"
    assert verdict.bound is None


def test_samples_that_define_nothing_do_not_count() -> None:
    measure = mean_measure("m", [[1.0, np.nan, 1.0], [0.5, 0.2, 1.0]], "original")
    assert measure.scores(np.ones((1, 3)))[0].tolist() == [1, 0.75]


def test_a_ratio_is_that_of_the_sums() -> None:
    measure = ratio_measure("m", np.array([[1.0, 2], [3, 4]]), np.array([[10.0, 10], [20, 20]]), "labels")
    assert measure.scores(np.array([[1.0, 1], [2, 0]])).tolist() == [[4 / 30, 6 / 30], [0.1, 0.2]]


def test_a_rise_of_an_error_is_a_loss() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(50)
    measure = mean_measure("rmse", [values, values + 0.25], "labels", bounded=False, higher_is_better=False)
    found = measure.resampled(rng)
    assert found.drop.value == pytest.approx(0.25)
    verdict = verify_constraint(Constraint(metric="rmse", max_drop=0.3), Outcomes(False, measures=(found,)))
    assert verdict.met is True
    assert verdict.headline == "Ship"
    assert "rise of rmse" in verdict.reason
