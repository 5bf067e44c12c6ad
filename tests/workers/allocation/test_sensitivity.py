"""Curves and sensitivities against runs of the whole network."""

from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engine.test_sequential import Images, compress, outputs, residual_network
from workers.allocation import error_curves as error_curves_module
from workers.allocation.error_curves import HARD, LEVELS, error_curves
from workers.allocation.sensitivity import affordable_samples, output_losses
from workers.allocation.sensitivity_profile import (
    LAST,
    assign_levels,
    needs_profile,
    profile_hard_pruning,
    profile_sensitivities,
    profiler_for,
    smallest,
    unseen,
)
from workers.calibration import Samples
from workers.engine.solver import EngineOptions
from workers.ir.graph.edit import ensure_bias, read_bias, read_weight, write_bias, write_weight
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.reading.batching import rebatch
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.uniform import Uniform


def normalised() -> ov.Model:
    """The network as an import leaves it: in no other form for more samples at once."""
    return rebatch(residual_network(), 1)


def changed(model: ov.Model, scale: float) -> tuple[list[Layer], list[tuple[Any, ...]]]:
    layers = find_layers(model)[0]
    return layers, [(layer, scale * read_weight(model, layer).astype(np.float64)) for layer in layers]


def output_errors(model: ov.Model, weights: list[tuple[Any, ...]], samples: Any) -> dict[str, float]:
    """With each layer's weights alone in place, by layer name."""
    losses = output_losses(rebatch(model, 16), weights, samples, batch_size=16, threads=1)
    return {name: loss.error for name, loss in losses.items()}


def test_an_output_error_is_what_the_whole_network_shows() -> None:
    model, samples = normalised(), Images(32)
    before = outputs(model, samples)
    layers, weights = changed(model, 0.5)
    errors = output_errors(model, weights, samples)
    assert set(errors) == {layer.name for layer in layers}
    head = next(layer for layer in layers if layer.name == "head")
    alone = model.clone()
    write_weight(alone, head, 0.5 * read_weight(model, head))
    lost = outputs(alone, samples) - before
    lost -= lost.mean(axis=0)  # the mean output is kept
    assert errors["head"] == pytest.approx(np.square(lost).sum() / np.square(before).sum(), rel=1e-3)


def test_every_layer_alone_shows_what_the_network_with_its_weights_and_its_mean_output_shows() -> None:
    model, samples = normalised(), Images(16)
    before = outputs(model, samples)
    layers, weights = changed(model, 0.8)
    errors = output_errors(model, weights, samples)
    for layer, weight in weights:
        alone = model.clone()
        (bias,) = ensure_bias(alone, [layer]).values()
        write_weight(alone, layer, weight)
        drift = mean_output(alone, layer, samples) - mean_output(model, layer, samples)
        write_bias(alone, bias, read_bias(alone, bias) - drift)
        lost = outputs(alone, samples) - before
        assert errors[layer.name] == pytest.approx(np.square(lost).sum() / np.square(before).sum(), rel=1e-3), layer.name
    assert len(layers) == len(errors)


def mean_output(model: ov.Model, layer: Layer, samples: Any) -> Any:
    """Of one layer, by channel, but for its bias."""
    copy = model.clone()
    told = ov.Model([ops.result(nodes_by_name(copy)[layer.name].output(0))], copy.get_parameters())
    values = outputs(told, samples)
    return values.mean(axis=tuple(axis for axis in range(values.ndim) if axis != 1))


def test_unchanged_weights_have_no_error() -> None:
    model, samples = normalised(), Images(16)
    _, weights = changed(model, 1.0)
    assert max(output_errors(model, weights, samples).values()) < 1e-9


def test_curves_rise_and_are_the_errors_of_pruning_one_layer_alone() -> None:
    model, samples = normalised(), Images()
    layers = find_layers(model)[0]
    curves = {
        c.layer.name: c for c in error_curves(rebatch(model, 16), layers, samples, EngineOptions(16, 0, 1), reference=HARD)
    }
    assert list(curves) == [layer.name for layer in layers]
    assert all(np.all(np.diff(curve.errors) >= -1e-6) for curve in curves.values())
    second = next(layer for layer in layers if layer.name == "second")
    plan = [(second, (LayerwisePruning(sparsity_level=LEVELS[HARD]),))]
    (alone,) = compress(model.clone(), plan, samples)
    assert curves["second"].error == pytest.approx(alone.relative_error, rel=0.3)
    grid = np.linspace(0, 0.98, 50)
    known = np.interp(LEVELS[3], grid, curves["second"].errors_at(grid))
    assert known == pytest.approx(curves["second"].errors[3], rel=0.05)


def test_a_curve_can_be_told_by_some_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 64)).astype(np.float32) @ rng.normal(size=(64, 64)).astype(np.float32)
    x = ops.parameter([1, 64], name="x")
    x.output(0).set_names({"x"})
    weight = ops.constant(rng.normal(size=(320, 64)).astype(np.float32))
    model = ov.Model([ops.result(ops.matmul(x, weight, False, True, name="head"))], [x])
    samples = Samples("dataset", {"x": lambda numbers: values[numbers]}, np.arange(len(values)))
    layers = find_layers(model)[0]
    (whole,) = error_curves(rebatch(model, 4), layers, samples, EngineOptions(4, 0, 1))
    monkeypatch.setattr(error_curves_module, "EFFORT", 0.0)
    (part,) = error_curves(rebatch(model, 4), layers, samples, EngineOptions(4, 0, 1))
    np.testing.assert_allclose(part.errors, whole.errors, rtol=0.1)
    changed = np.any(part.weight[0] != read_weight(model, layers[0])[0], axis=1)
    assert np.count_nonzero(changed) == error_curves_module.FEWEST_ROWS
    assert part.error == pytest.approx(whole.error * changed.mean(), rel=0.1)  # the other rows have lost nothing


def test_optimal_levels_replace_the_one_that_was_asked_for() -> None:
    model, images = normalised(), Images()
    samples = Samples("synthetic", {"x": lambda numbers: images.values[numbers]}, np.arange(images.count))
    step = LayerwisePruning(sparsity_level=0.6, allocation="optimal")
    layers = find_layers(model)[0]
    sweep = {layer.name: (step,) for layer in layers}
    assert needs_profile(sweep)
    profile = profile_sensitivities(model, layers, samples, EngineOptions(16, 0, 1))
    settled: Any = assign_levels(sweep, profile)
    pruned = sum(methods[0].sparsity_level * layer.size for layer in layers if (methods := settled[layer.name]))
    assert pruned == pytest.approx(0.6 * sum(layer.size for layer in layers))
    assert len({methods[0].sparsity_level for methods in settled.values() if methods}) > 1


def test_a_profile_foretells_what_each_layer_alone_costs() -> None:
    model, images = normalised(), Images()
    samples = Samples("synthetic", {"x": lambda numbers: images.values[numbers]}, np.arange(images.count))
    layers = find_layers(model)[0]
    profile = profile_sensitivities(model, layers, samples, EngineOptions(16, 0, 1))
    results = compress(model.clone(), [(layer, (LayerwisePruning(sparsity_level=0.6),)) for layer in layers], samples)
    foretold = profile.foretold([replace(results[0], own_error=None), *results[1:]])
    changed = [(result.layer, result.weight) for result in results if result.layer.name in foretold]
    assert len(changed) == len(results) - 1
    alone = output_errors(model, changed, samples)
    assert foretold.keys() == alone.keys()
    assert all(0.5 < foretold[name] / alone[name] < 2 for name in alone)
    assert max(foretold, key=foretold.__getitem__) == max(alone, key=alone.__getitem__)


def test_a_layer_that_fits_its_samples_by_heart_does_not_look_perfect() -> None:
    """40 rows for 64 columns: on them alone nearly any weight can make up for the others."""
    rng = np.random.default_rng(0)
    x = ops.parameter([1, 64], name="x")
    x.output(0).set_names({"x"})
    weight = ops.constant(rng.normal(size=(10, 64)).astype(np.float32))
    model = ov.Model([ops.result(ops.matmul(x, weight, False, True, name="head"))], [x])
    values = rng.normal(size=(40, 64)).astype(np.float32)
    samples = Samples("dataset", {"x": lambda numbers: values[numbers]}, np.arange(40))
    layers = find_layers(model)[0]
    (curve,) = error_curves(rebatch(model, 4), layers, samples, EngineOptions(4, 0, 1))
    plan = [(layers[0], (LayerwisePruning(sparsity_level=LEVELS[1]),))]
    (result,) = compress(model, plan, samples, EngineOptions(4, 0, 1))
    assert result.relative_error < 0.5 * curve.errors[1]


def test_layers_that_hold_next_to_nothing_stay_whole_while_others_can_give() -> None:
    model, images = normalised(), Images()
    samples = Samples("synthetic", {"x": lambda numbers: images.values[numbers]}, np.arange(images.count))
    layers = find_layers(model)[0]
    (least,) = smallest(layers, 0.04)
    assert least == "head"
    profile = profile_sensitivities(model, layers, samples, EngineOptions(16, 0, 1))
    assert set(profile.levels(0.5)) == {layer.name for layer in layers}


@given(count=st.integers(1, 400), batch_size=st.integers(1, 64))
def test_few_samples_are_of_the_half_that_judges(count: int, batch_size: int) -> None:
    chosen = unseen(count, batch_size, 24)
    assert 1 <= len(chosen) <= 24
    assert sorted(set(chosen)) == chosen
    assert chosen[-1] < count
    if count > batch_size:
        assert all(number // batch_size % 2 for number in chosen)


def test_many_layers_are_measured_on_fewer_samples() -> None:
    assert affordable_samples(1024, 20, 24) == 24  # the most
    assert affordable_samples(300, 50, 24) == 12  # half a model each: one pass over all samples together
    assert affordable_samples(300, 500, 24) == 8  # the fewest
    assert affordable_samples(5, 500, 24) == 5


@pytest.mark.parametrize(("level", "profiler"), [(0.5, profile_sensitivities), (0.8, profile_hard_pruning)])
def test_what_layers_cost_is_measured_near_the_level_that_is_asked_for(level: float, profiler: Any) -> None:
    methods: Any = {"a": (LayerwisePruning(sparsity_level=level),), "b": (Uniform(bits=4),)}
    assert profiler_for(methods) is profiler


def test_a_hard_profile_weighs_layers_by_harder_pruning() -> None:
    model, images = normalised(), Images()
    samples = Samples("synthetic", {"x": lambda numbers: images.values[numbers]}, np.arange(images.count))
    layers = find_layers(model)[0]
    mild, hard = (
        each(model, layers, samples, EngineOptions(16, 0, 1)) for each in (profile_sensitivities, profile_hard_pruning)
    )
    assert mild.names == hard.names
    assert np.all(np.diff(hard.harms, axis=1) >= 0)
    live = np.array(mild.sensitivities) < LAST
    assert not np.allclose(mild.harms[live], hard.harms[live], rtol=1e-3)
    np.testing.assert_allclose(mild.harms[live][:, -1] / hard.harms[live][:, -1], 1, atol=0.9)  # of the same size
