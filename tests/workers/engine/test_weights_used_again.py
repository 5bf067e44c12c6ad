"""A weight that several operations read: one solution for all of them, from the inputs of all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.workers.engine.test_cache import Interrupted, stop_after
from tests.workers.engine.test_sequential import Images, Untouched, compress
from tests.workers.ir.tiny import named
from workers.engine.cache import NO_CACHE, JobCache, LayerCache
from workers.engine.collect import StatisticsPass
from workers.engine.independent import IndependentLayers
from workers.engine.layer import LayerResult, LayerTask, make_tasks
from workers.engine.moments import LayerMoments, pool
from workers.engine.solver import EngineOptions, beside_others
from workers.ir.graph.edit import read_weight
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import find_layers, nodes_by_name
from workers.ir.reading.batching import rebatch
from workers.methods.layerwise_pruning import LayerwisePruning

OPTIONS = EngineOptions(16, 0, 1)
PRUNING = LayerwisePruning(sparsity_level=0.6)
USES = ["once", "twice", "thrice"]


def repeated() -> ov.Model:
    """A stem, one kernel applied three times, the last time with holes between its taps, and a head."""
    rng = np.random.default_rng(1)
    x = ops.parameter([1, 3, 10, 10], name="x")
    x.output(0).set_names({"x"})

    def convolution(value: ov.Node, kernel: ov.Node, name: str, reach: int = 1) -> ov.Node:
        pads, bias = [reach, reach], ops.constant(rng.normal(0, 0.3, (1, 8, 1, 1)).astype(np.float32))
        return ops.relu(ops.add(ops.convolution(value, kernel, [1, 1], pads, pads, [reach, reach], name=name), bias))

    def kernel(inputs: int) -> ov.Node:
        return ops.constant(rng.normal(0, (4.5 * inputs) ** -0.5, (8, inputs, 3, 3)).astype(np.float32))

    value, shared = convolution(x, kernel(3), "stem"), kernel(8)
    for name, reach in zip(USES, (1, 1, 2), strict=True):
        value = convolution(value, shared, name, reach)
    pooled = ops.reduce_mean(value, ops.constant([2, 3]), False)
    head = ops.matmul(pooled, ops.constant(rng.normal(size=(8, 5)).astype(np.float32)), False, False, name="head")
    return named(ov.Model([ops.result(head)], [x]))


def values_of(model: ov.Model, names: list[str], biased: bool = True) -> list[Any]:
    """What some operations give for all samples, with their biases."""
    copy, images = rebatch(model, 48), Images()
    nodes = nodes_by_name(copy)
    ports = [nodes[name].output(0) for name in names]
    if biased:
        ports = [next(iter(port.get_target_inputs())).get_node().output(0) for port in ports]
    request = ov.Core().compile_model(ov.Model(ports, copy.get_parameters()), "CPU", EXACT).create_infer_request()
    return [np.array(value) for value in request.infer(images.batch(0, 48)).values()]


def solved(
    model: ov.Model, cache: LayerCache = NO_CACHE, on_layer: Callable[..., Any] = lambda result: None
) -> list[LayerResult]:
    plan = [(layer, (PRUNING,)) for layer in find_layers(model)[0]]
    return compress(model, plan, Images(), OPTIONS, cache=cache, on_layer=on_layer)


def test_a_constant_is_one_layer_however_it_is_read() -> None:
    layers, skipped = find_layers(repeated())
    assert [layer.name for layer in layers] == ["stem", "once", "head"]
    assert layers[1].nodes == tuple(USES)
    assert layers[1].geometry_of("twice") != layers[1].geometry_of("thrice")
    assert not skipped


def test_one_constant_stays_one_and_every_use_keeps_its_mean() -> None:
    model = repeated()
    before = values_of(model, USES)
    results = {result.layer.name: result for result in solved(model)}
    nodes = nodes_by_name(model)
    weights = [nodes[name].input_value(1).get_node() for name in USES]
    assert len({weight.friendly_name for weight in weights}) == 1
    assert all(np.array_equal(weight.data, weights[0].data) for weight in weights)
    assert np.mean(weights[0].data == 0) == pytest.approx(0.6, abs=0.01)
    assert set(results["once"].biases) == set(USES)
    for old, new in zip(before, values_of(model, USES), strict=True):
        np.testing.assert_allclose(new.mean(axis=(0, 2, 3)), old.mean(axis=(0, 2, 3)), atol=2e-3)


def test_the_error_that_is_told_is_that_of_all_uses() -> None:
    model = repeated()
    before = values_of(model, USES)
    (result,) = [result for result in solved(model) if result.layer.name == "once"]
    lost = kept = 0.0
    for old, new in zip(before, values_of(model, USES), strict=True):
        lost += float(np.square(old - new).sum())
        kept += float(np.square(old - old.mean(axis=(0, 2, 3), keepdims=True)).sum())
    assert result.relative_error == pytest.approx(lost / kept, rel=0.02)


def moments_by_hand(model: ov.Model) -> Any:
    """The covariance of the inputs of the uses (c, c), each about its own mean, in the model as it is."""
    (layer,) = [layer for layer in find_layers(model)[0] if layer.name == "once"]
    nodes, parts = nodes_by_name(model), []
    sources = [nodes[name].input_value(0).get_node().friendly_name for name in USES]
    for name, value in zip(USES, values_of(model, sources, biased=False), strict=True):
        geometry = layer.geometry_of(name)
        parts.append(np.cov(geometry.input_rows(value, np.arange(geometry.input_positions(value.shape)))[0].T, bias=True))
    return np.mean(parts, axis=0)


class Listening(Untouched):
    """Keeps what it is asked."""

    heard: list[Any] = []

    def solve(self, problem: Any, rng: np.random.Generator) -> Any:
        self.heard.append(problem.hessian.copy())
        return super().solve(problem, rng)


@pytest.mark.parametrize("independent", [True, False])
def test_it_is_solved_from_the_inputs_of_all_uses(independent: bool) -> None:
    model, method = repeated(), Listening(heard=[])
    expected = moments_by_hand(model)
    plan = [(layer, (method,)) for layer in find_layers(model)[0] if layer.name == "once"]
    if independent:
        tasks = make_tasks(model, plan)
        IndependentLayers(model, rebatch(model, 16), tasks, Images(), OPTIONS).compress()
    else:
        compress(model, plan, Images(), OPTIONS)
    (hessian,) = method.heard
    off = ~np.eye(len(expected), dtype=bool)  # the diagonal is damped
    np.testing.assert_allclose(hessian[0][off], expected[off], atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_interruption_changes_nothing(layers: int, tmp_path: Path) -> None:
    undisturbed = solved(repeated())
    with pytest.raises(Interrupted):
        solved(repeated(), JobCache(tmp_path).at({}), stop_after(layers))
    again = solved(repeated(), JobCache(tmp_path).at({}))
    for one, other in zip(undisturbed, again, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        assert one.relative_error == other.relative_error
        assert one.biases.keys() == other.biases.keys()
        for name in one.biases:
            np.testing.assert_array_equal(one.biases[name], other.biases[name])


def tied() -> ov.Model:
    """A table of which rows are looked up, and the head that multiplies by it."""
    rng = np.random.default_rng(2)
    x = ops.parameter([1, 6], np.int64, name="x")
    x.output(0).set_names({"x"})
    table = ops.constant(rng.normal(size=(40, 8)).astype(np.float32))
    rows = ops.gather(table, x, ops.constant(0), name="look_up")
    inner = ops.relu(ops.matmul(rows, ops.constant(rng.normal(size=(8, 8)).astype(np.float32)), False, True, name="inner"))
    return named(ov.Model([ops.result(ops.matmul(inner, table, False, True, name="head"))], [x]))


class Words:
    count = 48

    def batch(self, start: int, stop: int) -> dict[str, Any]:
        return {"x": np.random.default_rng(5).integers(0, 40, (48, 6))[start:stop]}


def posed(model: ov.Model) -> tuple[LayerTask, LayerMoments]:
    (layer,) = [layer for layer in find_layers(model)[0] if layer.name == "head"]
    (task,) = make_tasks(model, [(layer, ())])
    ((_, seen),) = StatisticsPass(rebatch(model, 16), [task], Words(), OPTIONS).collect()
    return task, pool(seen.outputs.values())


def test_rows_that_are_looked_up_count_as_much_as_what_is_multiplied() -> None:
    task, moments = posed(tied())
    assert task.layer.others == ("look_up",)
    rng, weight = np.random.default_rng(0), task.weight
    image = weight @ moments.covariance
    both = beside_others(task, moments)
    for _ in range(3):
        changed = weight + 0.1 * rng.normal(size=weight.shape)
        off = changed - weight
        of_outputs = np.sum(off @ moments.covariance * off) / np.sum(image * weight)
        of_rows = np.sum(off**2) / np.sum(weight**2)
        counted = np.sum(off @ both.covariance * off) / np.sum(image * weight)
        assert counted == pytest.approx(of_outputs + of_rows, rel=1e-4)
    np.testing.assert_allclose(both.cross - moments.cross, weight @ (both.covariance - moments.covariance), rtol=1e-4)


def test_what_is_looked_up_is_what_is_multiplied_by() -> None:
    model = tied()
    plan = [(layer, (PRUNING,)) for layer in find_layers(model)[0]]
    compress(model, plan, Words(), OPTIONS)
    nodes = nodes_by_name(model)
    table, weight = nodes["look_up"].input_value(0).get_node(), nodes["head"].input_value(1).get_node()
    assert table.friendly_name == weight.friendly_name
    (layer,) = [layer for layer in find_layers(model)[0] if layer.name == "head"]
    np.testing.assert_array_equal(table.data, read_weight(model, layer)[0])
    assert np.mean(table.data == 0) == pytest.approx(0.6, abs=0.01)
