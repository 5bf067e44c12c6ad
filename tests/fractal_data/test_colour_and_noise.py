"""Colours and backgrounds have the statistics that their formulas say; recipes have limits."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fractal_data import FractalRecipe
from fractal_data.colour import CONTROL_COLOURS, SHADES, colour_basis, mix, sample_colours, sample_palette
from fractal_data.noise import double, midpoint_noise
from fractal_data.recipe import LIMITS


@given(channels=st.integers(1, 8), correlation=st.floats(0, 1))
def test_channels_have_variance_one_and_the_correlation_asked_for(channels: int, correlation: float) -> None:
    basis = colour_basis(channels, correlation)
    covariance = basis.astype(float) @ basis.T
    assert np.trace(covariance) == pytest.approx(channels, rel=1e-5)
    if channels > 1:
        pairs = covariance[~np.eye(channels, dtype=bool)]
        assert pairs.mean() == pytest.approx(correlation, abs=1e-5)


@given(channels=st.integers(2, 8), correlation=st.floats(0, 1))
def test_without_saturation_everything_is_grey(channels: int, correlation: float) -> None:
    colours = sample_colours(np.random.default_rng(0), colour_basis(channels, correlation, 0), 5)
    np.testing.assert_allclose(colours, np.tile(colours[0], (channels, 1)), atol=1e-5)


def test_three_channels_are_grey_yellow_blue_and_green_magenta() -> None:
    grey, yellow_blue, green_magenta = colour_basis(3, 0.5).T
    np.testing.assert_allclose(grey, [grey[0]] * 3)
    np.testing.assert_allclose([yellow_blue[1], yellow_blue.sum()], [0, 0], atol=1e-6)
    np.testing.assert_allclose(green_magenta / green_magenta[0], [1, -2, 1], rtol=1e-5)


def test_colours_have_the_covariance_of_their_basis() -> None:
    basis = colour_basis(3, 0.8, 1.5)
    colours = sample_colours(np.random.default_rng(0), basis, 100_000)
    np.testing.assert_allclose(np.cov(colours), basis @ basis.T, atol=0.02)


@given(st.integers(0, 2**32))
def test_mixing_is_a_matrix_product_at_every_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis, variates = rng.normal(size=(3, 3)).astype(np.float32), rng.normal(size=(3, 4, 5)).astype(np.float32)
    expected = (basis @ variates.reshape(3, -1)).reshape(3, 4, 5)
    np.testing.assert_allclose(mix(basis, variates), expected, atol=1e-5)


def test_a_palette_walks_straight_from_colour_to_colour() -> None:
    palette = sample_palette(np.random.default_rng(0), colour_basis(3, 0.5))
    assert palette.shape == (3, SHADES)
    bends = np.abs(np.diff(palette, 2, axis=1)).max(axis=0) > 1e-3
    assert bends.sum() <= 2 * (CONTROL_COLOURS - 2)


# noise


@settings(max_examples=20)
@given(height=st.integers(2, 70), width=st.integers(2, 70), exponent=st.floats(0, 6), seed=st.integers(0, 99))
def test_noise_has_mean_zero_and_variance_one(height: int, width: int, exponent: float, seed: int) -> None:
    field = midpoint_noise(np.random.default_rng(seed), 2, height, width, exponent)
    assert field.shape == (2, height, width)
    assert field.dtype == np.float32
    np.testing.assert_allclose(field.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(field.std(axis=(1, 2)), 1, atol=1e-3)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_power_falls_with_the_frequency(exponent: float) -> None:
    """The slope of the mean periodogram, between the coarsest octaves and the grid's own."""
    fields = midpoint_noise(np.random.default_rng(0), 64, 128, 128, exponent)
    power = np.mean(np.abs(np.fft.fft2(fields * np.outer(np.hanning(128), np.hanning(128)))) ** 2, axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    band = (frequency > 3 / 128) & (frequency < 0.25)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert -slope == pytest.approx(exponent, abs=0.5)


def test_fields_are_independent() -> None:
    fields = midpoint_noise(np.random.default_rng(0), 400, 16, 16, 0.0).reshape(400, -1)
    correlation = np.mean(fields[::2] * fields[1::2])
    assert abs(correlation) < 0.02


@pytest.mark.parametrize("axis", [1, 2])
def test_doubling_keeps_a_slope(axis: int) -> None:
    """Corner cutting turns a straight line into the same line, at quarter points between its own."""
    line = np.arange(6, dtype=np.float32)
    field = np.moveaxis(np.broadcast_to(line, (1, 4, 6)), 2, axis)
    doubled = np.moveaxis(double(field, 9, axis), axis, 2)
    np.testing.assert_allclose(doubled, np.broadcast_to(0.25 + np.arange(9) / 2, (1, 4, 9)))


# recipes


def test_every_knob_has_limits_and_lies_within() -> None:
    assert {knob.name for knob in fields(FractalRecipe)} == set(LIMITS)
    FractalRecipe()


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("beyond", [-1, 1, float("nan")])
def test_a_knob_beyond_its_limits_is_named(name: str, beyond: float) -> None:
    low, high = LIMITS[name]
    value: Any = low - 1 if beyond < 0 else high + 1 if beyond > 0 else beyond
    default = getattr(FractalRecipe(), name)
    knobs: dict[str, Any] = {name: (value, value) if isinstance(default, tuple) else value}
    with pytest.raises(ValueError, match=name):
        FractalRecipe(**knobs)


def test_the_ends_of_a_range_ascend() -> None:
    FractalRecipe(contrast=(0.2, 0.2))
    with pytest.raises(ValueError, match="contrast must lie in 0..1 and a range must ascend"):
        FractalRecipe(contrast=(0.3, 0.2))
