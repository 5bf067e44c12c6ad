from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from workers.engine.moments import ImpliedOutputs, InputMoments, OriginalInputs, OutputMoments, in_metric, pool, pool_halves


@pytest.mark.parametrize("groups", [1, 3])
def test_moments_of_batches_are_those_of_all_rows(groups: int) -> None:
    rng = np.random.default_rng(0)
    y = (rng.normal(size=(groups, 300, 5)) + 100).astype(np.float32)  # a mean far above the spread
    z = (y[..., :4] * 2 + rng.normal(size=(groups, 300, 4)) - 300).astype(np.float32)
    inputs = InputMoments()
    outputs = OutputMoments(inputs)
    for start in (0, 128, 256):
        outputs.add(z[:, start : start + 128].copy(), inputs.add(y[:, start : start + 128].copy()))
    y64, z64 = y.astype(np.float64), z.astype(np.float64)
    centred_y, centred_z = y64 - y64.mean(axis=1, keepdims=True), z64 - z64.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(inputs.mean, y64.mean(axis=1))
    np.testing.assert_allclose(outputs.mean, z64.mean(axis=1))
    np.testing.assert_allclose(inputs.covariance, centred_y.swapaxes(1, 2) @ centred_y / 300, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs.covariance, centred_z.swapaxes(1, 2) @ centred_y / 300, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs.variance, np.square(centred_z).mean(axis=1), rtol=1e-4)


def test_error_of_pooled_moments_is_the_mean_over_their_rows() -> None:
    rng = np.random.default_rng(0)
    weight, parts, squares = rng.normal(size=(1, 2, 4)), [], []
    for count in (100, 300):
        y = rng.normal(size=(1, count, 4)).astype(np.float32)
        z = rng.normal(size=(1, count, 2)).astype(np.float32)
        moments = OutputMoments(InputMoments())
        moments.add(z, moments.inputs.add(y))
        parts.append(moments)
        residue = (z - z.mean(axis=1, keepdims=True)) - (y - y.mean(axis=1, keepdims=True)) @ weight.swapaxes(1, 2)
        squares.append(np.square(residue).sum())
    pooled = pool(parts)
    assert pooled.error(weight, in_metric(weight, pooled.covariance)) == pytest.approx(sum(squares) / 400, rel=1e-4)


def test_outputs_of_the_own_inputs_follow_from_them() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3, 5))
    y = rng.normal(1, 2, size=(2, 400, 5)).astype(np.float32)
    inputs = InputMoments()
    inputs.add(y.copy())
    implied, z = ImpliedOutputs(inputs, weight), y.astype(np.float64) @ weight.swapaxes(1, 2)
    centred_y, centred_z = y - y.mean(axis=1, keepdims=True), z - z.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(implied.mean, z.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(implied.covariance, centred_z.swapaxes(1, 2) @ centred_y / 400, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(implied.variance, np.square(centred_z).mean(axis=1), rtol=1e-3)
    pooled = pool([implied])
    assert pooled.error(weight, in_metric(weight, pooled.covariance)) == pytest.approx(0, abs=1e-9 * pooled.energy)


@pytest.mark.parametrize(("groups", "cols"), [(2, 5), (1, 300)])  # of many columns a triangle is summed
def test_outputs_of_the_original_follow_from_its_inputs(groups: int, cols: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(groups, 3, cols))
    y = rng.normal(1, 2, size=(groups, 900, cols)).astype(np.float32)
    x = y + rng.normal(3, 0.3, size=y.shape).astype(np.float32)
    inputs = InputMoments()
    own = OriginalInputs(inputs)
    direct = OutputMoments(inputs)
    for start in (0, 500):
        rows = slice(start, start + 500)
        shifted = inputs.add(y[:, rows].copy())
        own.add(x[:, rows].copy(), shifted)
        direct.add((x[:, rows] @ weight.swapaxes(1, 2)).astype(np.float32), shifted)
    implied = ImpliedOutputs(inputs, weight, own)
    np.testing.assert_allclose(implied.mean, direct.mean, rtol=1e-4)
    np.testing.assert_allclose(implied.covariance, direct.covariance, rtol=1e-3, atol=1e-3 * np.abs(direct.covariance).max())
    np.testing.assert_allclose(implied.variance, direct.variance, rtol=1e-4)


def halves_of(values: npt.NDArray[Any]) -> InputMoments:
    """Moments of samples (n, rows, c), every second one in the other half."""
    inputs = InputMoments()
    for number, rows in enumerate(values):
        inputs.add(rows[None].astype(np.float32), number % 2)
    return inputs


def test_halves_have_covariances_of_their_own() -> None:
    values = np.random.default_rng(0).normal(3, 1, size=(21, 40, 6))
    inputs = halves_of(values)
    for half, found in enumerate(pool_halves([ImpliedOutputs(inputs, np.eye(6)[None])])):
        np.testing.assert_allclose(found[0], np.cov(values[half::2].reshape(-1, 6).T, bias=True), rtol=1e-3, atol=1e-3)
    assert inputs.count == 21 * 40


def test_where_all_rows_are_of_one_half_it_stands_for_both() -> None:
    inputs = InputMoments()
    inputs.add(np.random.default_rng(0).normal(size=(1, 50, 4)).astype(np.float32))
    first, second = inputs.halves
    np.testing.assert_array_equal(first, second)
    assert inputs.noise == 0


def test_noise_is_what_ledoit_and_wolf_say_of_independent_rows() -> None:
    """Their intensity E‖S − Σ‖² / E‖S − μI‖², here by drawing anew; Σ has a spread of its own."""
    rng, scale = np.random.default_rng(0), np.linspace(0.5, 2, 12)
    cov = np.diag(scale**2)
    drawn = [rng.normal(size=(240, 12)) * scale for _ in range(200)]
    apart = np.mean([np.square(np.cov(rows.T, bias=True) - cov).sum() for rows in drawn])
    whole = np.mean([np.square(s - np.trace(s) / 12 * np.eye(12)).sum() for s in (np.cov(rows.T, bias=True) for rows in drawn)])
    found = np.mean([halves_of(rows.reshape(2, 120, 12)).noise for rows in drawn])
    assert found == pytest.approx(apart / whole, rel=0.1)


def test_rows_that_repeat_one_another_are_known_for_it() -> None:
    """Ten times the rows, all alike within a sample, tell no more."""
    samples = np.random.default_rng(0).normal(size=(60, 1, 8))
    one, ten = halves_of(samples).noise, halves_of(np.repeat(samples, 10, axis=1)).noise
    assert ten == pytest.approx(one, rel=1e-3)
    assert one > 0.05
