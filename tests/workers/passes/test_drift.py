"""The drift of a layer's outputs, summed sample by sample, is that of all at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.passes.output_error import Drift


def layer(axis: int) -> Any:
    return SimpleNamespace(geometry=SimpleNamespace(channel_axis=axis))


def drift(before: Any, after: Any, axis: int = 1, channels: Any = None) -> float:
    """Of samples (n, ...), told one at a time."""
    found = Drift()
    for first, second in zip(before, after, strict=True):
        found.add(layer(axis), first[None], second[None], channels)
    return found.relative_error


@settings(max_examples=30)
@given(samples=st.integers(1, 5), channels=st.integers(1, 4), side=st.integers(1, 4), seed=st.integers(0, 99))
def test_it_is_the_relative_error_about_the_means(samples: int, channels: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = rng.normal(3, 2, (samples, channels, side, side)).astype(np.float32)
    after = (before + rng.normal(0.5, 0.3, before.shape)).astype(np.float32)
    z, lost = (np.moveaxis(x.astype(float), 1, 0).reshape(channels, -1) for x in (before, before - after))
    energy = float(np.sum(z.var(axis=1)))
    expected = float(np.sum(lost.var(axis=1))) / energy if energy > 1e-9 else None
    if expected is not None:
        assert drift(before, after) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_bias_is_no_error_and_nothing_lost_is_none() -> None:
    before = np.random.default_rng(0).normal(size=(4, 3, 5, 5)).astype(np.float32)
    assert drift(before, before) == 0
    assert drift(before, before + 1) == pytest.approx(0, abs=1e-6)
    assert drift(before, np.zeros_like(before)) == pytest.approx(1)


def test_outputs_that_never_change_have_no_energy_to_lose() -> None:
    constant = np.full((2, 3, 2, 2), 5, np.float32)
    assert drift(constant, constant * 0) == 0


def test_channels_may_come_last() -> None:
    rng = np.random.default_rng(0)
    before, noise = rng.normal(size=(4, 3, 5, 5)).astype(np.float32), rng.normal(size=(4, 3, 5, 5)).astype(np.float32)
    moved, after = (np.moveaxis(x, 1, 3) for x in (before, before + noise))
    assert drift(moved, after, axis=3) == pytest.approx(drift(before, before + noise), rel=1e-5)


def test_removed_channels_do_not_count() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(4, 3, 5, 5)).astype(np.float32)
    kept = np.array([2, 0])
    assert drift(before, before[:, kept], channels=kept) == 0
    assert drift(before, before[:, kept[::-1]], channels=kept) > 0.5
