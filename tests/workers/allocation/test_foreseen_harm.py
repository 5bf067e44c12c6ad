"""What levels and bits are foreseen to cost together, of which a front's points are placed."""

import numpy as np
import pytest

from workers.allocation.assignment import GRID
from workers.allocation.bit_profile import BitProfile
from workers.allocation.sensitivity_profile import LAST, LEAST_SHARE, SensitivityProfile
from workers.methods.problem import BitBudget
from workers.methods.solvers.bit_allocation import quartering

SPARSITY = SensitivityProfile(("cheap", "dear", "last"), (10, 10, 1), (1.0, 1.0, LAST), np.stack([GRID, 2 * GRID, LAST * GRID]))
BITS = BitProfile(("cheap", "dear"), (10, 10), (1.0, 1.0), np.outer([1.0, 100.0], [64.0, 16.0, 4.0, 1.0]))


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.6, 0.9])
def test_sparsity_costs_what_its_levels_cost(sparsity: float) -> None:
    levels = SPARSITY.levels(sparsity)
    assert SPARSITY.harm(sparsity) == pytest.approx(levels["cheap"] + 2 * levels["dear"], abs=0.02), "one step of the grid"


@pytest.mark.parametrize("sparsity", [0.3, 0.6, 0.9])
def test_a_layer_that_seems_to_cost_nothing_keeps_its_share(sparsity: float) -> None:
    harms = np.stack([1e-9 * GRID, GRID])
    levels = SensitivityProfile(("mute", "heard"), (10, 10), (1e-9, 1.0), harms).levels(sparsity)
    assert 0.99 * LEAST_SHARE * (1 - sparsity) <= 1 - levels["mute"] <= 1 - levels["heard"]
    assert levels["mute"] + levels["heard"] == pytest.approx(2 * sparsity)


def test_bits_cost_what_the_layers_get() -> None:
    budget = BitBudget(4, quartering(2, 8))
    bits = BITS.bits(budget)
    assert bits["cheap"] < bits["dear"]
    assert BITS.harm(budget) == pytest.approx(4.0 ** (5 - bits["cheap"]) + 100 * 4.0 ** (5 - bits["dear"]))
    harms = [BITS.harm(BitBudget(mean, quartering(2, 8))) for mean in (2, 3, 4, 6, 8)]
    assert harms == sorted(harms, reverse=True)
    assert harms[0] == 64 + 6400, "all at the least"
