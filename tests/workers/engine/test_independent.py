"""Layers solved on the original's inputs: by one process or by several, the same bytes."""

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.workers.engine.test_sequential import Images, Untouched, compress, residual_network
from workers.engine.cache import NO_CACHE, JobCache, LayerCache
from workers.engine.independent import IndependentLayers
from workers.engine.layer import LayerResult, make_tasks
from workers.engine.solver import EngineOptions
from workers.ir.graph.edit import read_weight
from workers.ir.graph.layers import find_layers
from workers.ir.reading.batching import rebatch
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Method

PRUNING = LayerwisePruning(sparsity_level=0.6)


def independent(
    cache: LayerCache = NO_CACHE, method: Method = PRUNING, on_layer: Callable[..., Any] = lambda result: None
) -> tuple[Any, IndependentLayers]:
    model = residual_network()
    plan = [(layer, (method,)) for layer in find_layers(model)[0]]
    options = EngineOptions(batch_size=16, seed=3, threads=1)
    return model, IndependentLayers(model, rebatch(model, 16), make_tasks(model, plan), Images(), options, cache, on_layer)


def weights(results: list[LayerResult]) -> dict[str, npt.NDArray[Any]]:
    return {result.layer.name: result.weight for result in results}


def assert_same(one: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture(scope="module")
def alone() -> dict[str, npt.NDArray[Any]]:
    return weights(independent()[1].compress())


def test_the_inputs_are_the_originals() -> None:
    """So that the optimum is the original weight, whatever became of the layers before."""
    model, made = independent(method=Untouched())
    before = {layer.name: read_weight(model, layer) for layer in find_layers(model)[0]}
    for name, weight in weights(made.compress()).items():
        np.testing.assert_allclose(weight, before[name], atol=2e-3)


def test_the_model_holds_the_results() -> None:
    model, made = independent()
    for result in made.compress():
        np.testing.assert_array_equal(read_weight(model, result.layer), result.weight)


def test_it_differs_from_solving_on_the_compressed_inputs(alone: dict[str, npt.NDArray[Any]]) -> None:
    model = residual_network()
    plan = [(layer, (PRUNING,)) for layer in find_layers(model)[0]]
    swept = weights(compress(model, plan, Images(), EngineOptions(16, 3, 1)))
    first, last = next(iter(alone)), list(alone)[-1]
    np.testing.assert_allclose(alone[first], swept[first], atol=1e-4)
    assert not np.array_equal(alone[last], swept[last])


def test_what_a_helper_has_solved_is_taken_over(tmp_path: Path, alone: dict[str, npt.NDArray[Any]]) -> None:
    independent(JobCache(tmp_path).at({}))[1].help()
    cache = JobCache(tmp_path)
    told: list[Any] = []
    assert_same(alone, weights(independent(cache.at({}), on_layer=told.append)[1].compress()))
    assert cache.reused == len(alone) == len(told)


def test_processes_share_the_layers(tmp_path: Path, alone: dict[str, npt.NDArray[Any]]) -> None:
    spawn = multiprocessing.get_context("spawn")
    helpers = [spawn.Process(target=help_in, args=(tmp_path,)) for _ in range(2)]
    for helper in helpers:
        helper.start()
    assert_same(alone, weights(independent(JobCache(tmp_path).at({}))[1].compress()))
    for helper in helpers:
        helper.join()
        assert helper.exitcode == 0


def help_in(folder: Path) -> None:
    independent(JobCache(folder).at({}))[1].help()


def test_what_a_helper_leaves_undone_is_done(tmp_path: Path, alone: dict[str, npt.NDArray[Any]]) -> None:
    """A helper that claims a layer and dies: the lock goes with it."""
    name = list(alone)[1]
    dead = JobCache(tmp_path).at({})
    assert dead.claim(name)
    threading.Timer(1.0, dead.release, [name]).start()
    cache = JobCache(tmp_path)
    assert_same(alone, weights(independent(cache.at({}))[1].compress()))
    assert cache.reused == 0


def test_a_helper_stops_where_the_job_has_ended(tmp_path: Path) -> None:
    gone = JobCache(tmp_path / "gone").at({})
    assert not gone.claim("layer")
    with pytest.raises(FileNotFoundError):
        gone.claim("layer", wait=True)
