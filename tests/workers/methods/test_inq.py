from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.workers.methods.problems import problem
from workers.methods.inq import PORTIONS, Inq, largest_power, portion_to_freeze, round_to, unit_levels


@pytest.mark.parametrize(("bits", "span"), [(5, 7), (4, 3), (3, 1), (2, 0)])
@pytest.mark.parametrize("largest", [0.7499, 0.75, 1.0, 1.49, 1.5, 3e-4])
def test_exponents_follow_the_largest_weight(bits: int, span: int, largest: float) -> None:
    levels = unit_levels(bits) * largest_power(np.array(largest))
    assert levels.size == 2 ** (bits - 1) + 1
    n1 = np.log2(levels[-1])
    assert 2**n1 <= 4 * largest / 3 < 2 ** (n1 + 1)
    np.testing.assert_array_equal(np.log2(levels[levels > 0]), np.arange(n1 - span, n1 + 1))
    np.testing.assert_array_equal(levels, -levels[::-1])


@given(st.floats(-1.5, 1.5))
def test_rounding_is_the_papers_rule(weight: Any) -> None:
    levels = unit_levels(4)
    magnitudes = levels[levels >= 0]
    expected = 0.0
    for alpha, beta in zip(magnitudes, magnitudes[1:], strict=False):
        if (alpha + beta) / 2 <= abs(weight) < 3 * beta / 2:
            expected = np.sign(weight) * beta
    if abs(weight) not in (magnitudes[1:] + magnitudes[:-1]) / 2:  # a middle belongs to either
        assert round_to(levels, np.array(weight)) == (expected if abs(weight) < 1.5 else np.sign(weight))


@pytest.mark.parametrize("partition", ["magnitude", "random"])
def test_close_to_the_best_of_all_choices(partition: str) -> None:
    posed = problem(shape=(1, 1, 5), seed=4)
    levels = unit_levels(3) * largest_power(np.abs(posed.original).max())
    everything = np.array(list(product(levels, repeat=5)))[None]
    deviation = everything - posed.target
    errors = np.sum((deviation @ posed.hessian) * deviation, axis=2)[0]
    found = posed.error(Inq(bits=3, partition=partition).solve(posed, np.random.default_rng(0)).weight)
    assert errors.min() * (1 - 1e-9) <= found <= np.quantile(errors, 0.005)


def test_re_solving_the_free_weights_serves_better_than_rounding_all() -> None:
    posed = problem(shape=(1, 16, 48))
    scale = largest_power(np.abs(posed.original).max(axis=2, keepdims=True))
    rounded = round_to(unit_levels(4), posed.target / scale) * scale
    assert posed.error(Inq(bits=4).solve(posed, np.random.default_rng(0)).weight) < 0.6 * posed.error(rounded)


def test_presets_are_valid_portions() -> None:
    assert all(Inq(bits=bits, portions=portions).portions == portions for bits, portions in PORTIONS.items())


@pytest.mark.parametrize("portions", [(0.5,), (0.5, 0.5, 1), (0.7, 0.6, 1), (0.0, 1.0), (0.5, 1.2), ()])
def test_portions_that_do_not_rise_to_one_are_refused(portions: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError, match="rise strictly to 1"):
        Inq(portions=portions)


@given(st.integers(0, 2**16), st.sampled_from([2, 3, 4]))
def test_fitted_exponents_serve_no_worse_where_one_weight_stands_out(seed: int, bits: int) -> None:
    posed = problem(shape=(1, 8, 16), seed=seed)
    posed.original[0, 0, 0] = 8 * np.abs(posed.original).max()
    rng = np.random.default_rng(0)
    fitted = Inq(bits=bits).solve(posed, rng)
    largest = Inq(bits=bits, exponents="largest").solve(posed, rng)
    assert posed.error(fitted.weight) <= 1.05 * posed.error(largest.weight)
    assert np.isin(np.log2(largest.scale / fitted.scale), np.arange(4)).all()
    assert np.isin(fitted.weight / fitted.scale, unit_levels(bits)).all()


def test_every_channel_has_its_own_largest_power() -> None:
    posed = problem(shape=(1, 8, 32))
    scale = np.exp2(np.arange(-8, 8, 2.0))[:, None]
    apart = Inq(bits=3).solve(posed.in_units_of(scale), np.random.default_rng(0))
    together = Inq(bits=3).solve(posed, np.random.default_rng(0))
    np.testing.assert_array_equal(apart.scale * scale, together.scale)
    np.testing.assert_allclose(apart.weight * scale, together.weight)


@given(st.integers(0, 99), st.sampled_from([0.3, 0.5, 0.9, 1.0]), st.booleans())
def test_portions_are_of_the_weights_that_are_not_pruned(seed: int, portion: Any, at_random: Any) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(1, 4, 25))
    support = rng.random(weight.shape) < 0.35
    order = rng.permutation(weight.size) if at_random else None
    frozen = portion_to_freeze(weight, np.zeros_like(support), support, portion, order)
    assert np.count_nonzero(frozen) == round(portion * np.count_nonzero(support))
    assert not frozen[~support].any()
    if order is None and (support & ~frozen).any():
        assert np.abs(weight[frozen]).min(initial=np.inf) >= np.abs(weight[support & ~frozen]).max()
    more = portion_to_freeze(weight, frozen, support, min(portion + 0.05, 1), order)
    assert more[frozen].all()


def test_two_powers_are_all_sums_and_differences_in_as_many_bits() -> None:
    np.testing.assert_array_equal(unit_levels(4, 2)[6:], [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5])
    for bits in (2, 3, 4, 5, 6):
        levels = unit_levels(bits, 2)
        assert levels.size <= 2**bits
        np.testing.assert_array_equal(levels, -levels[::-1])
    np.testing.assert_array_equal(unit_levels(2, 2), unit_levels(2))


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_two_powers_serve_better_than_one(bits: int) -> None:
    posed = problem(shape=(1, 16, 48))
    single, double = (Inq(bits=bits, powers=powers).solve(posed, np.random.default_rng(0)) for powers in (1, 2))
    assert posed.error(double.weight) < posed.error(single.weight)
    assert np.isin(double.weight / double.scale, unit_levels(bits, 2)).all()
