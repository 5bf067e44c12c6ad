from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.workers.methods.problems import problem
from workers.methods.ec2t import LEAST_ZEROS, Ec2t, largest_price, level_probabilities, side_of, size_factor, storage
from workers.methods.problem import LayerProblem, LayerSolution

LEVELS = np.array([-0.8, 0.0, 1.1])


def solved(posed: LayerProblem, **knobs: Any) -> LayerSolution:
    return Ec2t(**knobs).solve(posed, np.random.default_rng(0))


@given(arrays(np.float64, (1, 4, 6), elements=st.sampled_from(LEVELS.tolist())))
def test_probabilities_sum_to_one_and_zero_has_half(weight: Any) -> None:
    share = level_probabilities(side_of(weight))
    assert share.sum() == pytest.approx(1)
    assert share.min() > 0
    assert share[1] >= LEAST_ZEROS - 1e-12


def test_at_the_largest_price_a_side_is_empty_and_below_it_is_not() -> None:
    weight = np.random.default_rng(0).normal(size=(1, 20, 30))
    share = level_probabilities(np.abs(weight[..., None] - LEVELS).argmin(-1))

    def signs(price: Any) -> Any:
        chosen = LEVELS[((weight[..., None] - LEVELS) ** 2 - price * np.log2(share)).argmin(-1)]
        return {float(np.sign(level)) for level in np.unique(chosen)}

    price = largest_price(weight, LEVELS, share)
    assert signs(0.999 * price) == {-1, 0, 1}
    assert len(signs(1.001 * price)) == 2


@pytest.mark.parametrize("kind", ["plain", "rank_deficient", "dead_input"])
def test_a_higher_price_makes_more_zeros_and_a_lower_rate(kind: str) -> None:
    found = [solved(problem(kind, (1, 16, 48)), gamma=gamma) for gamma in (0, 0.2, 0.6)]
    zeros = [np.count_nonzero(solution.weight == 0) for solution in found]
    rates = [solution.statistics["rate_bits"] for solution in found]
    assert zeros == sorted(zeros)
    assert rates[2] < rates[0]


def test_centroids_may_start_at_a_share_of_the_largest_weight() -> None:
    posed = problem(shape=(1, 16, 48))
    solution = solved(posed, initial_scale=0.3)
    assert all(np.unique(row).size == 3 for row in solution.weight[0])
    assert posed.error(solution.weight) < posed.error(np.zeros_like(posed.target))


def test_a_layer_of_one_sign_has_one_centroid_when_started_by_scale() -> None:
    weight = solved(problem("one_sided"), initial_scale=0.5).weight
    assert all(np.unique(row).size <= 2 for row in weight[0])
    assert weight.min() == 0


def test_small_layers_pay_less() -> None:
    assert size_factor(100, 100) == 1
    assert size_factor(10, 100) == pytest.approx((0.1 + 0.05) / 1.05)


def test_storage_counts_every_format_and_takes_the_least() -> None:
    weight = np.zeros((1, 10, 100))
    weight[0, :, :2] = LEVELS[[0, 2]]
    counted = storage(weight)
    bits = {"mask_bits": 1000 + 20 + 320, "csr_bits": 20 * 17 + 11 * 16 + 320, "cer_bits": 20 * 16 + 2 * 11 * 16 + 320}
    assert {name: counted[name] * 1000 for name in bits} == pytest.approx(bits)
    assert counted["bits"] == counted["csr_bits"]
    assert counted["rate_bits"] == pytest.approx(-0.98 * np.log2(0.98) - 0.02 * np.log2(0.01))
