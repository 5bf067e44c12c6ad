from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.methods.problems import problem
from workers.methods.mcq import Mcq
from workers.methods.problem import LayerProblem

SAMPLES = st.sampled_from([0.25, 0.5, 1.0, 2.0, 7.5])


def sampled(weight: npt.NDArray[Any], seed: int = 0, **knobs: Any) -> npt.NDArray[Any]:
    """Counts (n,) with their signs; the method does not look at H."""
    posed = LayerProblem("layer", weight[None, None], np.zeros((1, 1, 1)), weight[None, None])
    solution = Mcq(**knobs).solve(posed, np.random.default_rng(seed))
    return np.rint(solution.weight / solution.scale).ravel()


def hits(weight: npt.NDArray[Any], samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How many of the samples in [0, 1) fall into each weight's interval, one by one."""
    edges = np.cumsum(np.abs(weight)) / np.abs(weight).sum()
    return np.bincount(np.searchsorted(edges, samples, side="right"), minlength=weight.size)


@given(st.integers(0, 1000), st.integers(2, 60), SAMPLES)
def test_counts_are_the_hits_of_jittered_equidistant_samples(seed: int, size: Any, k: Any) -> None:
    weight = np.random.default_rng(seed).normal(size=size)
    total = max(round(k * size), 1)
    samples = (np.arange(total) + np.random.default_rng(seed).random()) / total
    np.testing.assert_array_equal(np.abs(sampled(weight, seed, samples_per_weight=k)), hits(weight, samples))


@given(st.integers(0, 1000), st.integers(2, 60), SAMPLES)
def test_counts_are_the_hits_of_samples_jittered_each_in_its_stratum(seed: int, size: Any, k: Any) -> None:
    weight = np.random.default_rng(seed).normal(size=size)
    total = max(round(k * size), 1)
    samples = (np.arange(total) + np.random.default_rng(seed).random(total)) / total
    found = np.abs(sampled(weight, seed, samples_per_weight=k, jitter="stratum"))
    np.testing.assert_array_equal(found, hits(weight, samples))


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@given(k=SAMPLES)
def test_the_mass_of_what_is_sampled_stays(granularity: str, k: Any) -> None:
    posed = problem(shape=(2, 3, 7))
    weight = Mcq(samples_per_weight=k, granularity=granularity).solve(posed, np.random.default_rng(0)).weight
    axes = (0, 1, 2) if granularity == "layer" else 2
    np.testing.assert_allclose(np.abs(weight).sum(axis=axes), np.abs(posed.original).sum(axis=axes), rtol=2**-11)


@pytest.mark.parametrize("knobs", [{}, {"sort_weights": True}, {"jitter": "stratum"}], ids=str)
def test_every_sample_hits_and_signs_stay(knobs: dict[str, Any]) -> None:
    weight = np.random.default_rng(3).laplace(size=1_000_003)
    counts = sampled(weight, **knobs)
    assert np.abs(counts).sum() == weight.size
    assert not np.any(counts * weight < 0)


def test_counts_are_the_neighbours_of_the_weight_and_unbiased() -> None:
    weight = np.random.default_rng(1).normal(size=50)
    ideal = np.abs(weight) / np.abs(weight).mean()
    counts = np.stack([np.abs(sampled(weight, seed)) for seed in range(2000)])
    assert np.all(counts >= np.floor(ideal))
    assert np.all(counts <= np.ceil(ideal))
    np.testing.assert_allclose(counts.mean(axis=0), ideal, atol=0.05)


def test_channels_are_sampled_by_themselves() -> None:
    posed = problem(shape=(2, 3, 40))
    solution = Mcq(samples_per_weight=2, granularity="channel").solve(posed, np.random.default_rng(0))
    counts = np.rint(np.abs(solution.weight / solution.scale)).sum(axis=2)
    np.testing.assert_array_equal(counts, 80)


def test_bits_hold_the_largest_count_and_its_sign() -> None:
    posed = problem(shape=(1, 8, 40))
    solution = Mcq(samples_per_weight=4).solve(posed, np.random.default_rng(0))
    largest = int(np.rint(np.abs(solution.weight / solution.scale)).max())
    assert solution.statistics["bits"] == largest.bit_length() + 1


@pytest.mark.parametrize("k", [0.5, 1, 4])
def test_calibrated_counts_serve_better_than_sampled_ones_and_than_rounding(k: float) -> None:
    posed = problem(shape=(1, 16, 48))
    calibrated = Mcq(samples_per_weight=k, rounding="calibrated").solve(posed, np.random.default_rng(0))
    chance = Mcq(samples_per_weight=k).solve(posed, np.random.default_rng(0))
    assert np.abs(calibrated.weight / calibrated.scale).max() <= np.abs(chance.weight / chance.scale).max()
    rounded = np.rint(posed.original / chance.scale) * chance.scale
    assert posed.error(calibrated.weight) < 0.6 * min(posed.error(chance.weight), posed.error(rounded))
