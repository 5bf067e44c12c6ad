"""The engine on small networks: what it computes, in which order, from which statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.workers.ir.tiny import named
from workers.engine import sequential
from workers.engine.layer import LayerResult, make_tasks
from workers.engine.moments import LayerMoments
from workers.engine.sample_schedule import stride
from workers.engine.sequential import compress_sequentially
from workers.engine.solver import MOST_RESTORED, EngineOptions, Position, pose, pose_task, restored
from workers.errors import NonFiniteData
from workers.ir.graph.edit import read_weight
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import Layer, find_layers
from workers.ir.reading.batching import rebatch
from workers.methods.inq import Inq
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import LayerSolution, Method


class Untouched(Method):
    """Gives the optimum of the problem back."""

    method: str = "untouched"

    def solve(self, problem: Any, rng: np.random.Generator) -> Any:
        return LayerSolution(problem.target)


class Halved(Method):
    """Damages a layer in a known way."""

    method: str = "halved"

    def solve(self, problem: Any, rng: np.random.Generator) -> Any:
        return LayerSolution(problem.original / 2)


class Images:
    def __init__(self, count: int = 48) -> None:
        self.count = count
        self.values = np.random.default_rng(0).normal(0.3, 1, size=(count, 3, 10, 10)).astype(np.float32)

    def batch(self, start: Any, stop: Any) -> Any:
        return {"x": self.values[start:stop]}


def residual_network(biased: bool = True) -> ov.Model:
    """conv, conv + skip, depthwise conv, pooled, matmul: with a branch and a layer of every geometry."""
    rng = np.random.default_rng(1)

    def conv(x: Any, inputs: Any, outputs: Any, name: Any) -> Any:
        weight = ops.constant(rng.normal(0, (9 * inputs) ** -0.5, (outputs, inputs, 3, 3)).astype(np.float32))
        node = ops.convolution(x, weight, [1, 1], [1, 1], [1, 1], [1, 1], name=name)
        return ops.add(node, ops.constant(rng.normal(0, 0.1, (1, outputs, 1, 1)).astype(np.float32))) if biased else node

    x = ops.parameter([1, 3, 10, 10], name="x")
    x.output(0).set_names({"x"})
    stem = ops.relu(conv(x, 3, 8, "stem"))
    block = ops.relu(ops.add(conv(ops.relu(conv(stem, 8, 8, "first")), 8, 8, "second"), stem))
    weight = ops.constant(rng.normal(0, 0.3, (8, 1, 1, 3, 3)).astype(np.float32))
    depthwise = ops.relu(ops.group_convolution(block, weight, [1, 1], [0, 0], [0, 0], [1, 1], name="depthwise"))
    pooled = ops.reduce_mean(depthwise, ops.constant([2, 3]), False)
    logits = ops.matmul(pooled, ops.constant(rng.normal(size=(8, 5)).astype(np.float32)), False, False, name="head")
    model = ov.Model([ops.result(logits)], [x])
    return named(model)


def outputs(model: ov.Model, samples: Any) -> npt.NDArray[Any]:
    compiled = ov.Core().compile_model(rebatch(model, samples.count), "CPU", EXACT)
    return compiled(samples.batch(0, samples.count))[0]


def run(
    model: ov.Model, methods: Callable[..., Any], samples: Any = None, seed: int = 0, batch_size: int = 16, **options: Any
) -> list[LayerResult]:
    layers, _ = find_layers(model)
    plan = [(layer, methods(layer)) for layer in layers]
    images = samples or Images()
    return compress(model, plan, images, EngineOptions(batch_size, seed, 1, **options))


def compress(
    model: ov.Model, plan: list[tuple[Layer, tuple[Any, ...]]], images: Any, options: EngineOptions | None = None, **given: Any
) -> list[LayerResult]:
    options = options or EngineOptions(16, 0, 1)
    return compress_sequentially(model, rebatch(model, options.batch_size), make_tasks(model, plan), images, options, **given)


def test_layers_without_a_restriction_keep_the_model_as_it_is() -> None:
    model, samples = residual_network(), Images()
    before = outputs(model, samples)
    results = run(model, lambda layer: (Untouched(),), samples)
    assert {result.layer.name for result in results} == {"stem", "first", "second", "depthwise", "head"}
    assert max(result.relative_error for result in results) < 1e-4
    np.testing.assert_allclose(outputs(model, samples), before, atol=2e-2)


def test_later_layers_make_up_for_the_damage_of_an_earlier_one() -> None:
    harmed, repaired, samples = residual_network(), residual_network(), Images()
    before = outputs(harmed, samples)
    plan = [(layer, (Halved(),)) for layer in find_layers(harmed)[0] if layer.name == "first"]
    compress(harmed, plan, samples)
    run(repaired, lambda layer: (Halved(),) if layer.name == "first" else (Untouched(),), samples)
    damage = np.square(outputs(harmed, samples) - before).mean()
    rest = np.square(outputs(repaired, samples) - before).mean()
    assert rest < 0.3 * damage


@pytest.mark.parametrize("biased", [True, False])
def test_the_bias_keeps_the_mean_of_every_output(biased: bool) -> None:
    model, samples = residual_network(biased), Images()
    before = outputs(model, samples)
    run(model, lambda layer: (LayerwisePruning(sparsity_level=0.5),), samples)
    np.testing.assert_allclose(outputs(model, samples).mean(axis=0), before.mean(axis=0), atol=2e-3)


def test_same_inputs_and_seed_give_the_same_bytes() -> None:
    first, second = residual_network(), residual_network()
    one = run(first, lambda layer: (LayerwisePruning(sparsity_level=0.6),))
    two = run(second, lambda layer: (LayerwisePruning(sparsity_level=0.6),))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left.weight, right.weight)


def test_caution_trusts_the_samples_less_the_deeper_the_layer() -> None:
    plain, careful = residual_network(), residual_network()
    before = {layer.name: read_weight(plain, layer) for layer in find_layers(plain)[0]}

    def methods(layer: Any) -> Any:
        return (LayerwisePruning(sparsity_level=0.5),)

    cases: list[tuple[ov.Model, dict[str, Any]]] = [(plain, {}), (careful, {"last_damping": 10.0})]
    believed, doubted = ({result.layer.name: result for result in run(model, methods, **options)} for model, options in cases)
    np.testing.assert_array_equal(believed["stem"].weight, doubted["stem"].weight)
    original = before["head"].reshape(doubted["head"].weight.shape)

    def moved(weight: Any) -> float:
        """Spread of how many times its original each weight is: pruned rows are scaled as a whole."""
        kept = weight != 0
        return max(
            float(np.std(row[left] / first[left])) for row, first, left in zip(weight[0], original[0], kept[0], strict=True)
        )

    assert moved(doubted["head"].weight) < 0.2 * moved(believed["head"].weight)


def test_a_last_batch_that_is_not_full_counts_only_its_samples() -> None:
    whole, ragged = residual_network(), residual_network()
    run(whole, lambda layer: (Untouched(),), Images(30), batch_size=30)
    run(ragged, lambda layer: (Untouched(),), Images(30), batch_size=16)
    left, right = (find_layers(model)[0] for model in (whole, ragged))
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(read_weight(whole, a), read_weight(ragged, b), atol=0.05)


def test_steps_follow_one_another_and_keep_zeros() -> None:
    model = residual_network()
    results = run(model, lambda layer: (LayerwisePruning(sparsity_level=0.5), Halved()))
    assert all(np.mean(result.weight == 0) >= 0.45 for result in results)


def test_pose_gives_the_optimum_of_the_centred_problem() -> None:
    rng = np.random.default_rng(0)
    y, weight = rng.normal(size=(4000, 6)), rng.normal(size=(3, 6))
    z = y @ weight.T + 0.01 * rng.normal(size=(4000, 3))
    moments = LayerMoments((y.T @ y / 4000)[None], (z.T @ y / 4000)[None], np.square(z).mean(axis=0)[None])
    layer = next(layer for layer in find_layers(residual_network())[0] if layer.type == "MatMul")
    problem = pose(layer, weight[None], moments)
    np.testing.assert_allclose(problem.target[0], np.linalg.lstsq(y, z, rcond=None)[0].T, atol=1e-3)
    expected = np.square(z - y @ problem.target[0].T).mean(axis=0).sum()
    assert moments.error(problem.target, problem.target @ moments.covariance) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_target_goes_part_of_the_way_from_its_own_weights_to_what_makes_up_for_the_layers_before(share: float) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(4000, 6)), rng.normal(size=(3, 6))
    y = x @ (np.eye(6) + 0.2 * rng.normal(size=(6, 6)))  # the inputs, as the layers before have changed them
    aim = share * (x @ weight.T) + (1 - share) * (y @ weight.T)
    z = x @ weight.T
    moments = LayerMoments((y.T @ y / 4000)[None], (z.T @ y / 4000)[None], np.square(z).mean(axis=0)[None])
    layer = next(layer for layer in find_layers(residual_network())[0] if layer.type == "MatMul")
    problem = pose(layer, weight[None], moments, propagation=share)
    np.testing.assert_allclose(problem.target[0], np.linalg.lstsq(y, aim, rcond=None)[0].T, atol=2e-2)


def test_pruning_makes_up_for_a_quarter_of_what_the_layers_before_have_lost_and_quantising_for_all() -> None:
    model = residual_network()
    layer = find_layers(model)[0][0]
    pruning, quantising = LayerwisePruning(sparsity_level=0.5), Inq(bits=4)
    chosen: list[tuple[tuple[Method, ...], float]] = [
        ((pruning,), 0.25),
        ((quantising,), 1.0),
        ((pruning, quantising), 1.0),
        ((), 1.0),
    ]
    for methods, propagation in chosen:
        assert make_tasks(model, [(layer, methods)])[0].propagation == propagation


def test_what_pruning_took_from_the_spread_of_an_output_is_given_back() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6))
    y -= y.mean(axis=0)
    weight = rng.normal(size=(3, 6))
    z = y @ weight.T
    moments = LayerMoments((y.T @ y / 4000)[None], (z.T @ y / 4000)[None], z.var(axis=0)[None])
    pruned = np.zeros((3, 6))
    pruned[:2, :4] = np.linalg.lstsq(y[:, :4], z[:, :2], rcond=None)[0].T  # the third row has lost everything
    found = restored(pruned[None], moments)[0]
    before, after = (y @ pruned.T).std(axis=0), (y @ found.T).std(axis=0)
    assert np.all(before[:2] < z.std(axis=0)[:2])
    np.testing.assert_allclose(after, np.minimum(z.std(axis=0), MOST_RESTORED * before), rtol=1e-9)
    np.testing.assert_array_equal(found == 0, pruned == 0)


@pytest.mark.parametrize(("methods", "raised"), [((Inq(bits=4),), True), ((LayerwisePruning(sparsity_level=0.5),), False)])
def test_a_target_that_makes_up_for_all_is_raised_to_what_the_original_varies_by(
    methods: tuple[Method, ...], raised: bool
) -> None:
    model = residual_network()
    layer = next(layer for layer in find_layers(model)[0] if layer.type == "MatMul")
    (task,) = make_tasks(model, [(layer, methods)])
    rng, weight = np.random.default_rng(0), task.weight[0]
    x = rng.normal(size=(4000, weight.shape[1]))
    y = x + 0.5 * rng.normal(size=x.shape)  # what the layers before have done to it
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    z = x @ weight.T
    moments = LayerMoments((y.T @ y / 4000)[None], (z.T @ y / 4000)[None], z.var(axis=0)[None])
    least = pose(layer, task.weight, moments, propagation=task.propagation).target[0]
    found = pose_task(task, moments, Position(1, 0, 2), EngineOptions(batch_size=8, seed=0, threads=1)).target[0]
    timid = (y @ least.T).std(axis=0) / z.std(axis=0)
    assert not raised or (timid < 0.95).all(), "what it cannot explain, least squares leaves out"
    np.testing.assert_allclose(found, least / np.maximum(timid, 1 / MOST_RESTORED)[:, None] if raised else least)


def test_inputs_that_never_vary_leave_weights_as_they_are() -> None:
    moments = LayerMoments(np.zeros((1, 2, 2)), np.zeros((1, 1, 2)), np.zeros((1, 1)))
    np.testing.assert_array_equal(restored(np.full((1, 1, 2), 0.5), moments), np.full((1, 1, 2), 0.5))


def test_a_variance_that_rounding_has_made_negative_restores_nothing() -> None:
    moments = LayerMoments(np.eye(2)[None], np.eye(2)[None], np.array([[1.0, -1e-9]]))
    found = restored(np.full((1, 2, 2), 0.5), moments)
    assert np.isfinite(found).all()
    assert (np.abs(found) >= 0.5 / MOST_RESTORED).all()


def test_the_original_strides_over_phases_as_far_as_their_targets_fit() -> None:
    mega = 2**20
    assert stride([mega] * 3, 9 * mega, 6, [4, 4, 4]) == [0, 1, 1, 1]
    assert stride([mega] * 4, 9 * mega, 6, [4, 4, 9, 9]) == [0, 1, 1, 2, 2]  # samples join between
    assert stride([9 * mega, mega, 8 * mega, mega], 9 * mega, 6) == [0, 1, 2, 2, 3]
    assert max(map(stride([1] * 20, mega, 6).count, range(1, 5))) == 6


def test_strides_change_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = residual_network(), residual_network()
    run(long, lambda layer: (Halved(), Untouched()))
    monkeypatch.setattr(sequential, "TARGET_BYTES", 0)
    run(short, lambda layer: (Halved(), Untouched()))
    for layer in find_layers(long)[0]:
        np.testing.assert_allclose(read_weight(long, layer), read_weight(short, layer), rtol=1e-3, atol=1e-4)


class Huge(Images):
    """Samples whose squares no float holds."""

    def batch(self, start: Any, stop: Any) -> Any:
        return {"x": 1e25 * self.values[start:stop]}


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_samples_whose_squares_no_float_holds_are_refused() -> None:
    with pytest.raises(NonFiniteData, match="What layer 'stem' reads is so large"):
        run(residual_network(), lambda layer: (LayerwisePruning(sparsity_level=0.5),), Huge())
