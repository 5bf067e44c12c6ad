"""What is added to H where samples do not tell it."""

import numpy as np
import pytest

from workers.engine.damping import DAMPING, LARGEST_DAMPING, damping_of, prior


def spread(rows: int, *shape: int) -> np.ndarray:
    """The moments of some correlated rows (1, c, c)."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(rows, *shape)) @ rng.normal(size=(shape[-1], shape[-1]))
    return (drawn.T @ drawn / rows)[None]


def test_damping_believes_how_taps_go_together_and_doubts_how_channels_do() -> None:
    """The oracle is written with a Kronecker product."""
    hessian = spread(500, 12)
    blocks = [hessian[0, start : start + 4, start : start + 4] for start in (0, 4, 8)]
    expected = hessian[0] + 0.3 * np.kron(np.eye(3), np.mean(blocks, axis=0))
    found = prior(hessian, 0.3 + DAMPING, np.zeros((1, 2, 12)), 4).added_to(hessian)[0]
    np.testing.assert_allclose(found - DAMPING * np.trace(hessian[0]) / 12 * np.eye(12), expected)


def test_channels_go_together_as_weights_have_learnt_it_from_better_samples() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(1, 40, 10)) @ rng.normal(size=(10, 10))
    true = weight[0].T @ weight[0]
    seen = rng.multivariate_normal(np.zeros(10), true, 12)
    hessian = (seen.T @ seen / 12)[None]
    added = prior(hessian, 1.0 + DAMPING, weight, 1)
    known, ignorant = added.added_to(hessian)[0] / 2, (hessian[0] + np.trace(hessian[0]) / 10 * np.eye(10)) / 2
    assert added.channels is not None
    assert np.linalg.norm(known - true) < 0.8 * min(np.linalg.norm(ignorant - true), np.linalg.norm(hessian[0] - true))


def test_weights_that_the_samples_contradict_are_not_believed() -> None:
    direction = np.ones((1, 1, 4)) / 2
    hessian = (np.eye(4) - 0.9 * direction[0].T @ direction[0])[None]  # they read what hardly varies
    assert prior(hessian, 0.5, direction, 1).channels is None
    assert prior(np.eye(4)[None] + direction[0].T @ direction[0], 0.5, direction, 1).channels is not None


def test_a_convolution_knows_both_apart() -> None:
    """The oracle is written with a Kronecker product."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(2, 5, 12))
    by_channel = weight.reshape(2, 5, 3, 4).swapaxes(2, 3).reshape(2, 20, 3)
    gram = by_channel.swapaxes(1, 2) @ by_channel
    hessian = np.stack([np.kron(channels, spread(50, 4)[0]) for channels in gram])
    added = prior(hessian, 0.5, weight, 4)
    assert added.channels is not None
    whole = [np.kron(channels, taps) for channels, taps in zip(added.channels, added.taps, strict=True)]
    expected = np.stack(whole) + added.ridge[:, None, None] * np.eye(12)
    np.testing.assert_allclose(added.added_to(hessian) - hessian, expected, atol=1e-9)
    np.testing.assert_allclose(added.pull(weight), weight @ expected)


def test_damping_makes_a_dead_layer_definite() -> None:
    hessian = np.zeros((2, 9, 9))
    assert np.linalg.eigvalsh(prior(hessian, 0.5, np.ones((2, 4, 9)), 9).added_to(hessian)).min() > 0


def test_damping_is_what_chance_or_depth_asks_for() -> None:
    """Chance of a third of H asks for half of the rest; the least rises geometrically, to its end at half the depth."""
    assert damping_of(1 / 3, 0.0, 0.8) == pytest.approx(0.5)
    assert damping_of(1.0, 0.0, DAMPING) == LARGEST_DAMPING
    assert [damping_of(0.0, depth, 1e-1) for depth in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1e-3, 1e-2, 1e-1, 1e-1])
