import numpy as np
import pytest

from workers.engine.moments import InputMoments, OutputMoments, pool


@pytest.mark.parametrize("groups", [1, 3])
def test_moments_of_batches_are_those_of_all_rows(groups):
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


def test_error_of_pooled_moments_is_the_mean_over_their_rows():
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
    assert pool(parts).error(weight) == pytest.approx(sum(squares) / 400, rel=1e-4)
