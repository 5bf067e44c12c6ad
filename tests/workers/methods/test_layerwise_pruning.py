from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from tests.workers.methods.problems import KINDS, problem
from workers.methods.layerwise_pruning import LayerwisePruning, keep_highest, prune_gradually
from workers.methods.problem import LayerProblem
from workers.methods.solvers.least_squares import masked_least_squares

RNG = np.random.default_rng(0)


def pruned(posed: LayerProblem, level: float, **knobs: Any) -> npt.NDArray[Any]:
    return LayerwisePruning(sparsity_level=level, **knobs).solve(posed, RNG).weight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.25, 0.5, 0.9])
def test_reaches_the_level_exactly(kind: str, level: float) -> None:
    posed = problem(kind)
    assert np.count_nonzero(pruned(posed, level)) <= posed.target.size - round(level * posed.target.size)


def test_survivors_are_the_least_squares_solution_of_their_mask() -> None:
    posed = problem()
    weight = pruned(posed, 0.5)
    again = masked_least_squares(posed, weight != 0, 0 * weight, iterations=500, tolerance=1e-12)
    np.testing.assert_allclose(weight, again, rtol=1e-3, atol=1e-5)


def test_close_to_the_best_of_all_masks() -> None:
    posed = problem(shape=(1, 1, 8))
    errors = []
    for kept in combinations(range(8), 4):
        mask = np.isin(np.arange(8), kept)[None, None]
        errors.append(posed.error(masked_least_squares(posed, mask, 0 * posed.target, iterations=100)))
    assert min(errors) * (1 - 1e-6) <= posed.error(pruned(posed, 0.5)) <= np.quantile(errors, 0.1)


def test_sought_together_mask_and_weights_are_better_than_step_by_step() -> None:
    together, by_steps = [], []
    for seed in range(5):
        posed = problem(shape=(1, 16, 48), seed=seed)
        *_, weight = prune_gradually(posed, 0.7 * (1 - (1 - np.arange(1, 9) / 8) ** 3))
        together.append(posed.error(pruned(posed, 0.7)))
        by_steps.append(posed.error(weight))
    assert np.mean(together) < 0.98 * np.mean(by_steps)


def test_large_layers_are_pruned_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    posed = problem(shape=(1, 16, 48))
    monkeypatch.setattr("workers.methods.layerwise_pruning.MOST_COLUMNS", 47)
    *_, weight = prune_gradually(posed, 0.7 * (1 - (1 - np.arange(1, 4) / 3) ** 3))
    np.testing.assert_array_equal(pruned(posed, 0.7, gradual_steps=3), weight)
    assert posed.error(weight) < posed.error(pruned(posed, 0.7, gradual_steps=1))


def test_better_than_zeroing_the_smallest_weights() -> None:
    posed = problem(shape=(1, 16, 48))
    smallest = np.where(keep_highest(np.abs(posed.original), 0.5), posed.original, 0)
    assert posed.error(pruned(posed, 0.5)) < 0.5 * posed.error(smallest)


def test_zeros_of_an_earlier_step_survive() -> None:
    posed = problem()
    support = np.random.default_rng(1).random(posed.target.shape) < 0.5
    held = type(posed)(posed.name, posed.target, posed.hessian, posed.original, support)
    assert not pruned(held, 0.3)[~support].any()


@pytest.mark.parametrize("pattern", ["2:4", "4:8"])
@pytest.mark.parametrize(
    ("shape", "taps"), [((1, 6, 16), 1), ((1, 5, 72), 9), ((1, 4, 27), 9), ((2, 3, 40), 4), ((5, 1, 9), 9)]
)
def test_every_block_of_input_channels_has_its_zeros(pattern: str, shape: tuple[int, ...], taps: int) -> None:
    zeros, size = map(int, pattern.split(":"))
    weight = pruned(replace(problem(shape=shape), taps=taps), 0.5, pattern=pattern)
    groups, rows, cols = shape
    kernel = weight.reshape(groups, rows, cols // taps, taps)
    for start in range(0, cols // taps, size):
        block = kernel[:, :, start : start + size]
        must = max(zeros - (size - block.shape[2]), 0)  # the places that are not there are zero already
        assert (np.count_nonzero(block == 0, axis=2) == must).all()


def test_a_block_pattern_is_close_to_the_best_of_its_kind() -> None:
    posed = problem(shape=(1, 1, 8))
    halves = list(combinations(range(4), 2))
    errors = []
    for left, right in product(halves, halves):
        mask = np.isin(np.arange(8), (*left, *(4 + place for place in right)))[None, None]
        errors.append(posed.error(masked_least_squares(posed, mask, 0 * posed.target, iterations=100)))
    assert min(errors) * (1 - 1e-6) <= posed.error(pruned(posed, 0.5, pattern="2:4")) <= np.quantile(errors, 0.2)


def test_a_block_pattern_keeps_earlier_zeros() -> None:
    posed = problem(shape=(1, 6, 16))
    support = np.random.default_rng(1).random(posed.target.shape) < 0.5
    weight = pruned(replace(posed, support=support), 0.5, pattern="2:4")
    assert not weight[~support].any()
    assert (np.count_nonzero(weight.reshape(1, 6, 4, 4), axis=3) <= 2).all()


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"pattern": "2:4", "sparsity_level": 0.6}, "must be 0.5"),
        ({"pattern": "4:8", "sparsity_level": 0.5, "allocation": "normalized"}, "same share of every layer"),
        ({"pattern": "channel", "sparsity_level": 0.5, "gradual_steps": 3}, "removed at once"),
        ({"sparsity_level": 0.5, "budget": "operations"}, "pattern: channel alone"),
    ],
)
def test_knobs_that_would_be_ignored_are_refused(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        LayerwisePruning(**knobs)
