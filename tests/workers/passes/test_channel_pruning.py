"""Whole channels: what goes together, what goes first, and that nothing else changes when they go."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest
from onnx import helper
from pydantic import ValidationError

from tests.workers.ir.tiny import graph, save, weight
from tests.workers.methods.problems import problem
from workers.allocation.channel_profile import heaviest, profile_channels
from workers.calibration import from_fractals
from workers.engine.solver import EngineOptions
from workers.errors import BudgetOutOfReach
from workers.ir.channels.groups import Coupling, couple
from workers.ir.channels.removal import remove_channels
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import Imported, load
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.passes import CompressionState, rewrite, tell_nobody
from workers.recipe import Preprocessing, Recipe
from workers.run.compression import Compressed, compress_model, make_context
from workers.run.plan import make_plan

node = helper.make_node
conv = partial(node, "Conv", pads=[1, 1, 1, 1])


def residual() -> Any:
    """Two blocks with an inner convolution each around one stream, pooled into a fully connected layer."""
    nodes = [conv(["in", "w0", "b0"], ["s0"], name="stem"), node("Relu", ["s0"], ["s"])]
    weights = {"w0": weight(8, 3, 3, 3), "b0": weight(8)}
    stream = "s"
    for block in "ab":
        weights |= {f"{block}1": weight(6, 8, 3, 3), f"{block}b": weight(6), f"{block}2": weight(8, 6, 3, 3)}
        nodes += [
            conv([stream, f"{block}1", f"{block}b"], [f"{block}c"], name=f"{block}.first"),
            node("Relu", [f"{block}c"], [f"{block}r"]),
            conv([f"{block}r", f"{block}2"], [f"{block}d"], name=f"{block}.second"),
            node("Add", [f"{block}d", stream], [f"{block}s"]),
            node("Relu", [f"{block}s"], [f"{block}o"]),
        ]
        stream = f"{block}o"
    nodes += [
        node("GlobalAveragePool", [stream], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "wf", "bf"], ["out"], name="head", transB=1),
    ]
    return graph(nodes, weights | {"wf": weight(5, 8), "bf": weight(5)}, {"in": [None, 3, 12, 12]})


def depthwise() -> Any:
    """Widened, filtered channel by channel with a slope for each, and narrowed."""
    nodes = [
        node("Conv", ["in", "w1", "b1"], ["c"], name="widen"),
        node("Clip", ["c", "low", "high"], ["r"]),
        conv(["r", "w2", "b2"], ["d"], name="filter", group=8),
        node("PRelu", ["d", "slope"], ["q"]),
        node("Conv", ["q", "w3"], ["out"], name="narrow"),
    ]
    weights = {"w1": weight(8, 3, 1, 1), "b1": weight(8), "w2": weight(8, 1, 3, 3), "b2": weight(8), "w3": weight(4, 8, 1, 1)}
    weights |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32), "slope": np.abs(weight(8, 1, 1))}
    return graph(nodes, weights, {"in": [None, 3, 8, 8]})


def fire() -> Any:
    """Squeezed, expanded in two ways, joined, and flattened into a matrix product."""
    nodes = [
        node("Conv", ["in", "w1", "b1"], ["s"], name="squeeze"),
        node("Relu", ["s"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["e1"], name="small"),
        conv(["r", "w3", "b3"], ["e3"], name="large"),
        node("Concat", ["e1", "e3"], ["j"], axis=1),
        node("Relu", ["j"], ["k"]),
        node("MaxPool", ["k"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["m"], ["f"]),
        node("Gemm", ["f", "w4", "b4"], ["out"], name="head", transB=1),
    ]
    weights = {"w1": weight(6, 3, 1, 1), "b1": weight(6), "w2": weight(5, 6, 1, 1), "b2": weight(5), "w3": weight(7, 6, 3, 3)}
    return graph(nodes, weights | {"b3": weight(7), "w4": weight(4, 12 * 16), "b4": weight(4)}, {"in": [None, 3, 8, 8]})


def perceptron() -> Any:
    """The hidden width of a transformer's block; its stream is normalised and stays."""
    nodes = [
        node("LayerNormalization", ["in", "g"], ["n"]),
        node("MatMul", ["n", "w1"], ["h"], name="hidden"),
        node("Add", ["h", "b1"], ["hb"]),
        node("Erf", ["hb"], ["he"]),
        node("Mul", ["hb", "he"], ["a"]),
        node("MatMul", ["a", "w2"], ["o"], name="narrow"),
        node("Add", ["o", "in"], ["out"]),
    ]
    weights = {"g": np.ones(6, np.float32), "w1": weight(6, 12), "b1": weight(12), "w2": weight(12, 6)}
    return graph(nodes, weights, {"in": [None, 5, 6]})


NETWORKS = {
    "residual": (residual, {"stem", "a.first", "b.first"}),
    "depthwise": (depthwise, {"widen"}),
    "fire": (fire, {"squeeze", "small", "large"}),
    "perceptron": (perceptron, {"hidden"}),
}


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Any]:
    return lambda build: load(save(build(), tmp_path / "model.onnx"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_removed_channel_is_one_that_nothing_reads(imported: Callable[..., Any], name: str) -> None:
    """The oracle: zero what reads a channel, and the outputs do not tell whether it is there."""
    build, removable = NETWORKS[name]
    model = imported(build).model
    layers, _ = find_layers(model)
    coupling = couple(model, layers)
    locked = coupling.reasons()
    free = {layer: [root for root in coupling.root(vector) if root not in locked] for layer, vector in coupling.outputs.items()}
    assert removable <= {layer for layer, roots in free.items() if roots}
    every = coupling.root(np.arange(len(coupling.parents)))
    gone = {int(roots[index]) for roots in free.values() if roots for index in (0, 2)}
    removed = np.isin(every, sorted(gone))
    zero_what_reads(model, coupling, removed)
    smaller = model.clone()
    remove_channels(smaller, coupling, removed)
    assert constants(smaller) < constants(model)
    data = np.random.default_rng(0).normal(size=model.input(0).shape).astype(np.float32)
    for old, new in zip(answers(model, data), answers(smaller, data), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5)


def zero_what_reads(model: ov.Model, coupling: Coupling, removed: npt.NDArray[Any]) -> None:
    nodes = {found.friendly_name: found for found in model.get_ops()}
    for entry in coupling.entries:
        reads = any(np.array_equal(entry.numbers, vector) for vector in [coupling.inputs.get(entry.node)] if vector is not None)
        if reads:
            old = nodes[entry.node].input_value(entry.port).get_node()
            values = np.array(old.data)
            assert entry.axis is not None
            np.moveaxis(values, entry.axis, 0)[removed[entry.numbers]] = 0
            nodes[entry.node].input(entry.port).replace_source_output(ops.constant(values, name=old.friendly_name).output(0))


def constants(model: ov.Model) -> Any:
    return sum(
        found.get_output_size() and np.prod(found.shape) for found in model.get_ops() if found.get_type_name() == "Constant"
    )


def answers(model: ov.Model, data: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled({0: data}).values())


def compress(found: Imported, *steps: Any, count: int = 48, source: Literal["fractals", "dataset"] = "fractals") -> Compressed:
    plan = make_plan(found, Recipe.model_construct(steps=steps))
    samples = replace(from_fractals(found, count, 0, Preprocessing()), source=source)
    return compress_model(plan, make_context(plan, found.model, samples, seed=0, threads=1))


def channels(level: float, **knobs: Any) -> LayerwisePruning:
    return LayerwisePruning(sparsity_level=level, pattern="channel", **knobs)


@pytest.mark.parametrize("allocation", ["optimal", "normalized", "uniform"])
@pytest.mark.parametrize("name", NETWORKS)
def test_takes_the_share_asked_for(imported: Callable[..., Any], name: str, allocation: str) -> None:
    found = imported(NETWORKS[name][0])
    size = sum(layer.size for layer in find_layers(found.model)[0])
    done = compress(found, channels(0.3, allocation=allocation))
    left = sum(layer.size for layer in find_layers(done.model)[0])
    assert 0.4 * size < left <= 0.7 * size
    assert left == sum(result.weight.size for result in done.results)


@pytest.mark.parametrize("spared", ["a.second", "b.second"])
def test_channels_go_where_they_harm_less(imported: Callable[..., Any], spared: str) -> None:
    found = imported(residual)
    plan = make_plan(found, Recipe.model_construct(steps=(channels(0.2),)))
    context = make_context(plan, found.model, from_fractals(found, 48, 0, Preprocessing()), seed=0, threads=1)
    layers = find_layers(found.model)[0]
    other = {"a.second": "b.second", "b.second": "a.second"}[spared]
    harms = {layer.name: {spared: 1e3, other: 1e-3}.get(layer.name, 1.0) for layer in layers}
    done = rewrite(channels(0.2), CompressionState(found.model, {}), replace(context, harms=harms), tell_nobody)
    columns = {layer.name: layer.cols for layer in find_layers(done.model)[0]}
    assert columns[other] < columns[spared] == 6 * 9


def test_what_is_measured_decides(imported: Callable[..., Any]) -> None:
    found = imported(residual)
    layers = find_layers(found.model)[0]
    samples = from_fractals(found, 48, 0, Preprocessing())
    told: list[tuple[int, int]] = []
    profile = profile_channels(
        found.model, layers, samples, EngineOptions(16, 0, 1), lambda done, total, _: told.append((done, total))
    )
    harms = profile.harm_of()
    assert list(harms) == [layer.name for layer in layers]
    assert harms["stem"] == 0  # it reads the image
    assert all(harms[name] > 0 for name in harms if name != "stem")
    taken = profile_channels(found.model, layers, replace(samples, source="dataset"), EngineOptions(16, 0, 1)).harm_of()
    assert {name: harm**2 for name, harm in harms.items()} == pytest.approx(taken)  # made-up samples are trusted less
    assert told[-1] == (10, 10)  # five layers read channels
    assert [channels(0.3, allocation=each).measures for each in ("optimal", "normalized", "uniform")] == [True, False, False]
    assert not LayerwisePruning(sparsity_level=0.5, pattern="2:4").measures


def test_the_lightest_half_of_the_channels_is_probed() -> None:
    posed = problem(shape=(1, 4, 12), seed=3)
    kept = heaviest(posed, 6).reshape(6, 2)
    assert kept.all(axis=1).sum() == 3
    np.testing.assert_array_equal(kept[:, 0], kept[:, 1])  # whole channels
    energy = [
        sum(posed.hessian[0, c, c] * posed.original[0, :, c] @ posed.original[0, :, c] for c in (2 * k, 2 * k + 1))
        for k in range(6)
    ]
    assert min(np.array(energy)[kept[:, 0]]) > max(np.array(energy)[~kept[:, 0]])


def test_repeated_channels_go_without_loss(imported: Callable[..., Any]) -> None:
    """A network with every channel twice, at half the width: the same answers, where the samples are believed."""
    found = imported(twice)
    data = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    before = answers(found.model.clone(), data)[0]
    done = compress(found, channels(0.3), source="dataset")
    assert {layer.name: layer.channels for layer in find_layers(done.model)[0]}["one"] <= 6
    np.testing.assert_allclose(answers(done.model, data)[0], before, atol=0.02 * np.abs(before).max())


def twice() -> Any:
    half, read = weight(4, 3, 3, 3), weight(4, 4, 3, 3)
    nodes = [conv(["in", "w1"], ["c"], name="one"), node("Relu", ["c"], ["r"]), conv(["r", "w2"], ["out"], name="two")]
    doubled = {"w1": np.concatenate([half, half]), "w2": np.concatenate([read, 0.5 * read], axis=1)}
    return graph(nodes, doubled, {"in": [None, 3, 8, 8]})


def test_int8_can_follow(imported: Callable[..., Any]) -> None:
    done = compress(imported(residual), channels(0.3, budget="operations"), Int8())
    rows = {result.layer.name: result for result in done.results}
    assert [step.method for step in rows["a.second"].steps] == ["layerwise_pruning", "int8"]
    assert rows["a.second"].weight.size < rows["a.second"].original.size
    assert rows["a.second"].relative_error < 1


def test_what_is_out_of_reach_is_refused(imported: Callable[..., Any]) -> None:
    with pytest.raises(BudgetOutOfReach, match="less than the 99 % asked for"):
        compress(imported(residual), channels(0.99))


def test_zeros_of_an_earlier_step_survive(imported: Callable[..., Any]) -> None:
    done = compress(imported(residual), LayerwisePruning(sparsity_level=0.5, allocation="uniform"), channels(0.2))
    assert all((result.weight == 0).mean() > 0.25 for result in done.results if result.layer.name != "head")


def test_knobs_that_do_not_apply_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be 0.5"):
        LayerwisePruning(sparsity_level=0.6, pattern="2:4")
    with pytest.raises(ValidationError, match="pattern: channel"):
        LayerwisePruning(sparsity_level=0.6, budget="operations")
