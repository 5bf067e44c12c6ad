from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.methods.problems import problem
from workers.allocation.assignment import GRID, optimal_bits, optimal_levels
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq
from workers.methods.layerwise_pruning import LEAST_KEPT, LayerwisePruning, normalized_levels
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.methods.slq import Slq
from workers.methods.solvers.sensitive_layers import SensitiveLayer
from workers.methods.uniform import Uniform


def layers(sizes: tuple[int, ...] = (40, 400, 4000), seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {f"layer_{n}": rng.normal(0, 10.0**-n, (1, size // 10, 10)) for n, size in enumerate(sizes)}


def allocate(step: Method, weights: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    return dict(step.allocate({name: weight.size for name, weight in weights.items()}, weights.__getitem__))


@given(st.floats(0.05, 0.9), st.lists(st.integers(2, 60), min_size=1, max_size=6))
def test_normalized_reaches_the_level_over_all_layers(sparsity: float, rows: Any) -> None:
    weights = list(layers(tuple(10 * row for row in rows)).values())
    levels = normalized_levels(weights, sparsity)
    sizes = np.array([weight.size for weight in weights])
    assert abs(np.dot(levels, sizes) - sparsity * sizes.sum()) <= len(weights)
    assert max(levels) <= 1 - LEAST_KEPT + 1e-9


def test_normalized_prunes_large_layers_more_whatever_their_scale() -> None:
    levels = normalized_levels(list(layers().values()), 0.5)
    assert levels == sorted(levels)


def test_normalized_is_the_papers_threshold() -> None:
    weights = list(layers().values())
    importance = [np.abs(weight) / np.linalg.norm(weight) for weight in weights]
    pooled = np.sort(np.concatenate([scores.ravel() for scores in importance]))
    threshold = pooled[int(0.5 * pooled.size)]
    assert normalized_levels(weights, 0.5) == pytest.approx([np.mean(scores < threshold) for scores in importance], abs=0.01)


def test_uniform_gives_every_layer_the_same() -> None:
    step = LayerwisePruning(sparsity_level=0.5, allocation="uniform")
    assert allocate(step, layers()) == dict.fromkeys(layers(), step)


def test_ec2t_keeps_the_ends_and_spares_small_layers() -> None:
    step = Ec2t(gamma=0.2, keep_ends=True, sensitive_share=0)
    given_gamma = allocate(step, layers((100, 400, 4000, 100)))
    assert list(given_gamma) == ["layer_1", "layer_2"]
    assert given_gamma["layer_2"].gamma == pytest.approx(0.2)
    assert given_gamma["layer_1"].gamma == pytest.approx(0.2 * (0.1 + 0.05) / 1.05)


@pytest.mark.parametrize("step", [type_(bits=bits, allocation="size") for type_, bits in ((Slq, 4), (Uniform, 3), (Inq, 3))])
def test_small_layers_have_more_bits_at_the_same_mean(step: Any) -> None:
    given_bits = allocate(step, layers((100, 1000, 10_000, 100_000)))
    bits = [method.bits for method in given_bits.values()]
    sizes = [weight.size for weight in layers((100, 1000, 10_000, 100_000)).values()]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > step.bits
    assert np.dot(bits, sizes) <= step.bits * sum(sizes)
    same = step.model_copy(update={"allocation": "uniform"})
    assert set(allocate(same, layers()).values()) == {same}


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=12), st.floats(0.1, 8))
def test_samples_are_shared_out_at_the_same_mean_of_bits(sizes: list[int], rate: float) -> None:
    shared: Any = Mcq(samples_per_weight=rate, allocation="size").allocate(
        dict(zip(map(str, range(12)), sizes, strict=False)), lambda name: np.empty(0)
    )
    found = [method.samples_per_weight for method in shared.values()]
    assert np.dot(np.log2(found), sizes) <= np.log2(rate) * sum(sizes) + 1e-6
    assert max(found) <= 16 * rate
    assert [found[at] for at in np.argsort(sizes)] == sorted(found, reverse=True)


@pytest.mark.parametrize("step", [Mlq(allocation="size"), Ec2t(allocation="size")])
def test_ends_and_depthwise_layers_are_not_ternary(step: Any) -> None:
    shapes = {"first": (1, 8, 27), "depthwise": (8, 1, 9), "pointwise": (1, 16, 8), "grouped": (2, 8, 9), "last": (1, 10, 16)}
    weights = {name: np.random.default_rng(0).normal(size=shape) for name, shape in shapes.items()}
    found = allocate(step, weights)
    assert {name for name, method in found.items() if isinstance(method, SensitiveLayer)} == {"first", "depthwise", "last"}
    assert {found[name].method for name in found} == {step.method}
    more = allocate(step.model_copy(update={"sensitive_share": 0.2}), weights)
    assert {name for name, method in more.items() if isinstance(method, SensitiveLayer)} == {*weights} - {"grouped"}
    ternary = allocate(step.model_copy(update={"sensitive_bits": None}), weights)
    assert {type(method) for method in ternary.values()} == {type(step)}


def test_small_sensitive_layers_have_more_bits() -> None:
    found = allocate(Mlq(sensitive_share=0.5, allocation="size"), layers((100, 400, 4000, 40_000, 4000)))
    assert [getattr(method, "bits", None) for method in found.values()] == [8, 8, 4, None, 5]


@pytest.mark.parametrize("step", [Mlq(), Ec2t(gamma=0.2)])
def test_undecided_layers_share_the_weights_and_bits_of_the_rule(step: Any) -> None:
    weights = layers((100, 400, 4000, 40_000, 4000))
    sizes = {name: weight.size for name, weight in weights.items()}
    by_rule = allocate(step.model_copy(update={"allocation": "size"}), weights)
    fine = {name: method.bits for name, method in by_rule.items() if isinstance(method, SensitiveLayer)}
    found = allocate(step, weights)
    (budget,) = {method.measured_bits for method in found.values()}
    assert budget.finer == pytest.approx(sum(sizes[name] for name in fine) / sum(sizes.values()))
    assert budget.mean == pytest.approx(sum(sizes[name] * fine.get(name, 2) for name in sizes) / sum(sizes.values()))
    for name, method in found.items():
        assert method.at_bits(5) == SensitiveLayer(method=step.method, bits=5)
        assert name in fine or method.at_bits(2) == by_rule[name].model_copy(update={"allocation": "optimal"})


@pytest.mark.parametrize("sizes", [(100,), (100, 400)])
def test_nothing_is_undecided_where_the_rule_leaves_no_choice(sizes: tuple[int, ...]) -> None:
    found = allocate(Mlq(), layers(sizes))  # the first and the last: both are sensitive
    assert {type(method) for method in found.values()} == {SensitiveLayer}
    kept = allocate(Ec2t(keep_ends=True, sensitive_share=0), layers((100, 400, 4000, 100)))
    assert {type(method) for method in kept.values()} == {Ec2t}


def test_a_sensitive_layer_is_solved_like_a_uniform_grid() -> None:
    posed = problem(shape=(8, 1, 9))
    found = SensitiveLayer(method="mlq", bits=6).solve(posed, np.random.default_rng(0))
    expected = Uniform(bits=6).solve(posed, np.random.default_rng(0))
    np.testing.assert_array_equal(found.weight, expected.weight)
    np.testing.assert_array_equal(found.scale, expected.scale)


def test_other_methods_are_the_same_for_every_layer() -> None:
    assert set(allocate(Inq(allocation="uniform"), layers()).values()) == {Inq(allocation="uniform")}


def steep(exponents: list[float]) -> npt.NDArray[Any]:
    """Convex harms (layers, GRID) that differ in how steeply they rise."""
    return np.array([np.expm1(exponent * GRID) for exponent in exponents])


@given(st.floats(0.05, 0.9), st.lists(st.floats(0.5, 8), min_size=2, max_size=6))
def test_optimal_spends_the_budget_exactly(sparsity: float, exponents: Any) -> None:
    sizes = [100 * (number + 1) for number in range(len(exponents))]
    levels = optimal_levels(sizes, steep(exponents), sparsity)
    assert np.dot(levels, sizes) == pytest.approx(sparsity * sum(sizes))
    assert min(levels) >= 0
    assert max(levels) <= 1 - LEAST_KEPT + 1e-9


def test_optimal_is_the_least_sum_of_harms_by_brute_force() -> None:
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


@given(st.floats(0.05, 0.95), st.lists(st.floats(0.5, 8), min_size=2, max_size=6))
def test_optimal_takes_no_more_of_a_layer_than_it_may(sparsity: float, exponents: Any) -> None:
    sizes, most = [100 * (number + 1) for number in range(len(exponents))], (1 + sparsity) / 2
    levels = optimal_levels(sizes, steep(exponents), sparsity, most)
    assert np.dot(levels, sizes) == pytest.approx(sparsity * sum(sizes))
    assert max(levels) <= most


def test_optimal_jumps_over_what_is_not_convex() -> None:
    bump = np.where(GRID < 0.5, 10 * GRID, 5.0)  # dear at first, then free
    levels = optimal_levels([100, 100], np.stack([bump, 20 * GRID]), 0.45)
    assert levels == pytest.approx([0.9, 0.0], abs=0.02)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.lists(st.floats(0, 10), min_size=4, max_size=4)), min_size=1, max_size=4),
    st.floats(2, 5),
    st.floats(0, 1),
)
def test_optimal_bits_are_the_least_sum_of_harms_by_brute_force(known: Any, mean: float, finer: float) -> None:
    sizes, harms = [size for size, _ in known], np.array([sorted(row, reverse=True) for _, row in known])
    found = optimal_bits(sizes, harms, (2, 3, 4, 5), mean, finer)

    def within(bits: Any) -> bool:
        fine = np.dot(np.greater(bits, 2), sizes)
        return bool(np.dot(bits, sizes) <= mean * sum(sizes) + 1e-9 and fine <= finer * sum(sizes) + 1e-9)

    def harm(bits: Any) -> float:
        return float(sum(row[each - 2] for row, each in zip(harms, bits, strict=True)))

    best = min(harm(bits) for bits in product((2, 3, 4, 5), repeat=len(sizes)) if within(bits))
    assert within(found)
    assert harm(found) == pytest.approx(best)


def test_optimal_bits_of_large_layers_keep_to_the_budget() -> None:
    sizes = [432, 2_359_296, 1_280_000]
    harms = np.outer([1, 5, 50], 4.0 ** -np.arange(7))
    found = optimal_bits(sizes, harms, range(2, 9), 4)
    assert 3.7 * sum(sizes) <= np.dot(found, sizes) <= 4 * sum(sizes)
    assert found[0] == 8
    assert found[1] < found[2]


@pytest.mark.parametrize("count", [20, 300])
def test_both_budgets_are_kept_to_and_spent(count: int) -> None:
    rng = np.random.default_rng(count)
    sizes = [int(size) for size in 10 ** rng.uniform(2, 6, count)]
    found = optimal_bits(sizes, np.outer(rng.uniform(0, 1, count), 4.0 ** -np.arange(7)), range(2, 9), 3.3, 0.4)
    bits, fine = np.dot(found, sizes) / sum(sizes), np.dot(np.greater(found, 2), sizes) / sum(sizes)
    assert 3.2 < bits <= 3.3
    assert 0.3 < fine <= 0.4
