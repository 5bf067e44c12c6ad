"""Memory between two phases is bounded: samples wait until the tensors of one have become small enough."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engine.test_sequential import Images, residual_network, run
from workers.engine import sample_schedule
from workers.engine.sample_schedule import FEWEST_BATCHES, FRONTIER_BYTES, schedule
from workers.methods.layerwise_pruning import LayerwisePruning

sizes = st.lists(st.integers(0, FRONTIER_BYTES), min_size=2, max_size=30)


@given(held=sizes, total=st.integers(1, 1000))
def test_the_frontier_never_outgrows_its_memory(held: Any, total: Any) -> None:
    batches = schedule(held, total)
    assert len(batches) == len(held) - 1
    for number, before, after in zip(batches, held[:-1], held[1:], strict=True):
        assert 1 <= number <= total
        assert number <= FEWEST_BATCHES or 2 * max(before, after) * number <= FRONTIER_BYTES


def test_samples_join_where_the_tensors_become_small() -> None:
    large, small = FRONTIER_BYTES // 40, FRONTIER_BYTES // 10_000
    assert schedule([large, large, small, small], 64) == [20, 20, 64]


def test_samples_leave_where_the_tensors_become_large_again() -> None:
    large, small = FRONTIER_BYTES // 40, FRONTIER_BYTES // 10_000
    assert schedule([small, small, large, large], 64) == [64, 20, 20]


def test_a_few_more_samples_are_not_worth_a_pass_of_their_own() -> None:
    large, smaller = FRONTIER_BYTES // 40, FRONTIER_BYTES // 50
    assert schedule([large, large, smaller, smaller], 64) == [20, 20, 20]
    assert schedule([large, large, smaller, smaller], 25) == [20, 20, 25]


def test_samples_do_not_leave_only_to_join_again() -> None:
    large, small = FRONTIER_BYTES // 40, FRONTIER_BYTES // 10_000
    assert schedule([large, large, small, small, large, small, small], 64) == [20, 20, 20, 20, 20, 64]
    assert schedule([large, large, small, small, large, large], 64) == [20, 20, 64, 20, 20]


@given(held=sizes, total=st.integers(1, 1000))
def test_every_sample_joins_once_and_leaves_once(held: Any, total: Any) -> None:
    batches = schedule(held, total)
    peak = batches.index(max(batches))
    assert batches[:peak] == sorted(batches[:peak])
    assert batches[peak:] == sorted(batches[peak:], reverse=True)


@pytest.mark.parametrize("room", [1, 40_000, 200_000])
def test_a_model_is_compressed_with_little_memory_nearly_as_with_plenty(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(layer: Any) -> Any:
        return (LayerwisePruning(sparsity_level=0.5),)

    plenty = run(residual_network(), prune, Images(256), batch_size=8)
    monkeypatch.setattr(sample_schedule, "FRONTIER_BYTES", room)
    little = run(residual_network(), prune, Images(256), batch_size=8)
    for one, other in zip(plenty, little, strict=True):
        assert one.layer.name == other.layer.name
        assert np.isfinite(other.weight).all()
        assert other.relative_error < 1.5 * one.relative_error + 0.01
