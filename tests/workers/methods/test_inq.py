from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.workers.methods.problems import problem
from workers.methods.inq import PORTIONS, Inq, powers_of_two, round_to


@pytest.mark.parametrize(("bits", "span"), [(5, 7), (4, 3), (3, 1), (2, 0)])
@pytest.mark.parametrize("largest", [0.7499, 0.75, 1.0, 1.49, 1.5, 3e-4])
def test_exponents_follow_the_largest_weight(bits, span, largest):
    levels = powers_of_two(largest, bits)
    assert levels.size == 2 ** (bits - 1) + 1
    n1 = np.log2(levels[-1])
    assert 2**n1 <= 4 * largest / 3 < 2 ** (n1 + 1)
    np.testing.assert_array_equal(np.log2(levels[levels > 0]), np.arange(n1 - span, n1 + 1))
    np.testing.assert_array_equal(levels, -levels[::-1])


@given(st.floats(-1.5, 1.5))
def test_rounding_is_the_papers_rule(weight):
    levels = powers_of_two(1.0, 4)
    magnitudes = levels[levels >= 0]
    expected = 0.0
    for alpha, beta in zip(magnitudes, magnitudes[1:], strict=False):
        if (alpha + beta) / 2 <= abs(weight) < 3 * beta / 2:
            expected = np.sign(weight) * beta
    if abs(weight) not in (magnitudes[1:] + magnitudes[:-1]) / 2:  # a middle belongs to either
        assert round_to(levels, np.array(weight)) == (expected if abs(weight) < 1.5 else np.sign(weight))


@pytest.mark.parametrize("partition", ["magnitude", "random"])
def test_close_to_the_best_of_all_choices(partition):
    posed = problem(shape=(1, 1, 5), seed=4)
    levels = powers_of_two(np.abs(posed.original).max(), 3)
    everything = np.array(list(product(levels, repeat=5)))[None]
    deviation = everything - posed.target
    errors = np.sum((deviation @ posed.hessian) * deviation, axis=2)[0]
    found = posed.error(Inq(bits=3, partition=partition).solve(posed, np.random.default_rng(0)).weight)
    assert errors.min() * (1 - 1e-9) <= found <= np.quantile(errors, 0.005)


def test_re_solving_the_free_weights_serves_better_than_rounding_all():
    posed = problem(shape=(1, 16, 48))
    rounded = round_to(powers_of_two(np.abs(posed.original).max(), 4), posed.target)
    assert posed.error(Inq(bits=4).solve(posed, np.random.default_rng(0)).weight) < 0.6 * posed.error(rounded)


def test_presets_are_valid_portions():
    assert all(Inq(bits=bits, portions=portions).portions == portions for bits, portions in PORTIONS.items())


@pytest.mark.parametrize("portions", [(0.5,), (0.5, 0.5, 1), (0.7, 0.6, 1), (0.0, 1.0), (0.5, 1.2), ()])
def test_portions_that_do_not_rise_to_one_are_refused(portions):
    with pytest.raises(ValidationError, match="rise strictly to 1"):
        Inq(portions=portions)


@given(st.integers(0, 2**16), st.sampled_from([2, 3, 4]))
def test_fitted_exponents_serve_no_worse_where_one_weight_stands_out(seed, bits):
    posed = problem(shape=(1, 8, 16), seed=seed)
    posed.original[0, 0, 0] = 8 * np.abs(posed.original).max()
    rng = np.random.default_rng(0)
    fitted = Inq(bits=bits).solve(posed, rng)
    largest = Inq(bits=bits, exponents="largest").solve(posed, rng)
    assert posed.error(fitted.weight) <= 1.05 * posed.error(largest.weight)
    assert fitted.statistics["n1"] in largest.statistics["n1"] - np.arange(4)
    assert np.isin(fitted.weight, powers_of_two(2.0 ** fitted.statistics["n1"], bits)).all()
