import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.allocation.assignment import GRID, optimal_levels
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq
from workers.methods.layerwise_pruning import LEAST_KEPT, LayerwisePruning, normalized_levels


def layers(sizes=(40, 400, 4000), seed=0):
    rng = np.random.default_rng(seed)
    return {f"layer_{n}": rng.normal(0, 10.0**-n, (1, size // 10, 10)) for n, size in enumerate(sizes)}


def allocate(step, weights):
    return step.allocate({name: weight.size for name, weight in weights.items()}, weights.__getitem__)


@given(st.floats(0.05, 0.9), st.lists(st.integers(2, 60), min_size=1, max_size=6))
def test_normalized_reaches_the_level_over_all_layers(sparsity, rows):
    weights = list(layers(tuple(10 * row for row in rows)).values())
    levels = normalized_levels(weights, sparsity)
    sizes = np.array([weight.size for weight in weights])
    assert abs(np.dot(levels, sizes) - sparsity * sizes.sum()) <= len(weights)
    assert max(levels) <= 1 - LEAST_KEPT + 1e-9


def test_normalized_prunes_large_layers_more_whatever_their_scale():
    levels = normalized_levels(list(layers().values()), 0.5)
    assert levels == sorted(levels)


def test_normalized_is_the_papers_threshold():
    weights = list(layers().values())
    importance = [np.abs(weight) / np.linalg.norm(weight) for weight in weights]
    pooled = np.sort(np.concatenate([scores.ravel() for scores in importance]))
    threshold = pooled[int(0.5 * pooled.size)]
    assert normalized_levels(weights, 0.5) == pytest.approx([np.mean(scores < threshold) for scores in importance], abs=0.01)


def test_uniform_gives_every_layer_the_same():
    step = LayerwisePruning(sparsity_level=0.5, allocation="uniform")
    assert allocate(step, layers()) == dict.fromkeys(layers(), step)


def test_ec2t_keeps_the_ends_and_spares_small_layers():
    given_gamma = allocate(Ec2t(gamma=0.2), layers((100, 400, 4000, 100)))
    assert list(given_gamma) == ["layer_1", "layer_2"]
    assert given_gamma["layer_2"].gamma == pytest.approx(0.2)
    assert given_gamma["layer_1"].gamma == pytest.approx(0.2 * (0.1 + 0.05) / 1.05)


def test_other_methods_are_the_same_for_every_layer():
    assert set(allocate(Inq(), layers()).values()) == {Inq()}


def steep(exponents):
    """Convex harms (layers, GRID) that differ in how steeply they rise."""
    return np.array([np.expm1(exponent * GRID) for exponent in exponents])


@given(st.floats(0.05, 0.9), st.lists(st.floats(0.5, 8), min_size=2, max_size=6))
def test_optimal_spends_the_budget_exactly(sparsity, exponents):
    sizes = [100 * (number + 1) for number in range(len(exponents))]
    levels = optimal_levels(sizes, steep(exponents), sparsity)
    assert np.dot(levels, sizes) == pytest.approx(sparsity * sum(sizes))
    assert min(levels) >= 0
    assert max(levels) <= 1 - LEAST_KEPT + 1e-9


def test_optimal_is_the_least_sum_of_harms_by_brute_force():
    sizes, harms = [100, 100, 200], steep([1.0, 5.0, 3.0])
    coarse = range(0, 99, 2)
    budget = 0.5 * sum(sizes)
    best = min(
        harms[0, i] + harms[1, j] + harms[2, k]
        for i in coarse
        for j in coarse
        for k in coarse
        if GRID[i] * sizes[0] + GRID[j] * sizes[1] + GRID[k] * sizes[2] >= budget
    )
    levels = optimal_levels(sizes, harms, 0.5)
    assert sum(np.interp(level, GRID, harm) for level, harm in zip(levels, harms, strict=True)) <= best + 1e-9


def test_optimal_jumps_over_what_is_not_convex():
    bump = np.where(GRID < 0.5, 10 * GRID, 5.0)  # dear at first, then free
    levels = optimal_levels([100, 100], np.stack([bump, 20 * GRID]), 0.45)
    assert levels == pytest.approx([0.9, 0.0], abs=0.02)
