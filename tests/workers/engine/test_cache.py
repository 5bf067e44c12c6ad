"""An interrupted compression goes on where it was, and ends with the same bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.engine.test_sequential import Images, compress, residual_network
from workers.engine.cache import JobCache
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import find_layers
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.problem import Method


class Interrupted(Exception):
    """The process ends here."""


def run(cache: Any, on_layer: Callable[..., Any] = lambda result: None, method: Method | None = None) -> list[LayerResult]:
    model = residual_network()
    method = method or LayerwisePruning(sparsity_level=0.6)
    plan = [(layer, (method,)) for layer in find_layers(model)[0]]
    return compress(model, plan, Images(), EngineOptions(16, 3, 1), cache=cache, on_layer=on_layer)


def stop_after(count: int) -> Callable[..., Any]:
    seen = []

    def on_layer(result: Any) -> None:
        seen.append(result)
        if len(seen) == count:
            raise Interrupted

    return on_layer


@pytest.mark.parametrize("method", [LayerwisePruning(sparsity_level=0.6), Mcq(samples_per_weight=1, rounding="calibrated")])
@pytest.mark.parametrize("solved", [1, 3, 5])
def test_a_second_attempt_solves_only_what_is_left_and_gives_the_same_bytes(
    tmp_path: Path, solved: int, method: Method
) -> None:
    undisturbed = run(JobCache(None).at({}), method=method)
    with pytest.raises(Interrupted):
        run(JobCache(tmp_path).at({}), stop_after(solved), method=method)
    resumed = JobCache(tmp_path)
    again = run(resumed.at({}), method=method)
    assert resumed.reused == solved
    for one, other in zip(undisturbed, again, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.original, other.original)
        assert one.biases.keys() == other.biases.keys()
        for name in one.biases:
            np.testing.assert_array_equal(one.biases[name], other.biases[name])
        assert one.relative_error == other.relative_error
        assert one.statistics == other.statistics
        assert (one.scale is None) == (other.scale is None)


def test_layers_solved_under_other_conditions_are_not_taken(tmp_path: Path) -> None:
    run(JobCache(tmp_path).at({"seed": 0}))
    other = JobCache(tmp_path)
    run(other.at({"seed": 1}))
    assert other.reused == 0


def test_a_damaged_file_is_solved_again(tmp_path: Path) -> None:
    whole = run(JobCache(tmp_path).at({}))
    for path in sorted(tmp_path.rglob("*.npz"))[:2]:
        path.write_bytes(path.read_bytes()[:100])
    resumed = JobCache(tmp_path)
    again = run(resumed.at({}))
    assert resumed.reused == len(whole) - 2
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
