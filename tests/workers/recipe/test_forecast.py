from typing import Any

import pytest

from workers.allocation import error_attribution, sensitivity, sensitivity_profile
from workers.engine import sample_schedule
from workers.errors import InvalidRecipe
from workers.evaluation import benchmark
from workers.recipe import Recipe, cost
from workers.recipe import forecast as forecasting
from workers.recipe.forecast import Forecast, foresee
from workers.run import compression

COLUMNS = (27, 144, 64)
LAYERS = [
    {"name": "conv1", "type": "Convolution", "shape": [16, 3, 3, 3], "weights": 432, "macs": 432 * 1024, "outputs": 16384},
    {"name": "conv2", "type": "Convolution", "shape": [64, 16, 3, 3], "weights": 9216, "macs": 9216 * 256, "outputs": 16384},
    {"name": "head", "type": "MatMul", "shape": [10, 64], "weights": 640, "macs": 640, "outputs": 10},
]
INSPECTION = {
    "format": "onnx",
    "bytes": 45_000,
    "precision": "f32",
    "operations": 12,
    "parameters": 10_288,
    "inputs": [{"name": "x", "shape": [1, 3, 32, 32], "source_shape": [1, 3, 32, 32], "layout": "NCHW", "dtype": "float32"}],
    "layers": LAYERS,
    "skipped": [{"name": "embedding", "type": "Gather", "reason": "not a product"}],
}


def forecast(inspection: dict[str, Any] = INSPECTION, **recipe: Any) -> Forecast:
    steps = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.75}]}
    return foresee(inspection, Recipe.model_validate(steps | recipe))


def test_sizes_follow_from_bits() -> None:
    dense = forecast(steps=[{"method": "uniform", "bits": 4}])
    assert all(layer.bits == 4 + 16 / columns for layer, columns in zip(dense.layers, COLUMNS, strict=True))
    assert dense.compressed_bytes == pytest.approx(10_288 / 2, abs=12 * 500 + 3 * 3000)  # the graph of a small network
    pruned = forecast()
    assert pruned.layers[0].bits == pytest.approx(0.25 * 32 + 1)
    joined = forecast(steps=[{"method": "layerwise_pruning", "sparsity_level": 0.75}, {"method": "int8"}])
    assert joined.layers[0].steps == ("layerwise_pruning", "int8")
    assert joined.layers[0].bits < 8
    assert joined.zip_bytes < pruned.zip_bytes < dense.original_bytes


@pytest.mark.parametrize(("rate", "bits"), [(0.25, 3), (1, 5), (4, 7), (1024, 15)])
def test_more_samples_of_a_weight_take_more_bits(rate: float, bits: float) -> None:
    found = forecast(steps=[{"method": "mcq", "samples_per_weight": rate}])
    assert found.layers[0].bits == bits + 16 / COLUMNS[0]


def test_what_is_left_alone_is_told_with_the_reason() -> None:
    found = forecast(ignored_scope={"names": ["conv1"], "types": ["MatMul"]})
    assert [layer.name for layer in found.layers] == ["conv2"]
    assert {spared.name: spared.reason for spared in found.skipped} == {
        "embedding": "not a product",
        "conv1": "ignored_scope.names: 'conv1'",
        "head": "ignored_scope.types: 'MatMul'",
    }


def test_a_rule_that_matches_nothing_is_told_with_what_may_be_meant() -> None:
    (rule,) = forecast(ignored_scope={"names": ["conf2"]}).unmatched
    assert "'conf2' matches no layer; did you mean 'conv2'?" in rule


def test_a_bad_pattern_is_refused() -> None:
    with pytest.raises(InvalidRecipe, match="regular expression"):
        forecast(ignored_scope={"patterns": ["("]})


def test_ec2t_keeps_the_ends() -> None:
    found = forecast(steps=[{"method": "ec2t", "keep_ends": True}])
    assert [layer.steps for layer in found.layers] == [(), ("ec2t",), ()]


@pytest.mark.parametrize("method", ["mlq", "ec2t"])
def test_layers_on_a_finer_grid_take_more_bits(method: str) -> None:
    """Of four layers the ends and the depthwise one are small, and most of the weights ternary."""
    depthwise = {"name": "deep", "type": "GroupConvolution", "shape": [64, 1, 1, 3, 3], "weights": 576, "macs": 1, "outputs": 1}
    network = INSPECTION | {"layers": [*LAYERS[:2], depthwise, LAYERS[2]], "parameters": 10_864}

    def code(**knobs: Any) -> dict[str, float]:
        found = forecast(network, steps=[{"method": method, **knobs}])
        return {layer.name: layer.bits - 32 / columns for layer, columns in zip(found.layers, (27, 144, 9, 64), strict=True)}

    by_rule = code(allocation="size")
    assert by_rule["conv2"] == 2
    assert min(by_rule["conv1"], by_rule["deep"], by_rule["head"]) >= 4
    shared = code()
    sizes = {"conv1": 432, "conv2": 9216, "deep": 576, "head": 640}
    assert len({round(bits, 9) for bits in shared.values()}) == 1  # which of them are finer is not known before
    assert sum(sizes[name] * shared[name] for name in sizes) == pytest.approx(
        sum(sizes[name] * by_rule[name] for name in sizes)
    )
    assert set(code(sensitive_bits=None).values()) == {2.0}


def test_time_and_memory_grow_with_the_work_and_are_unknown_without_it() -> None:
    few, many = forecast(calibration={"count": 64}), forecast(calibration={"count": 4096})
    assert 0 < few.seconds < many.seconds
    assert 0 < few.memory_bytes < many.memory_bytes
    searching = forecast(constraint={"max_drop": 0.02}, search={})
    assert forecast().seconds < searching.seconds
    shapeless = INSPECTION | {"layers": [LAYERS[0] | {"macs": None, "outputs": None}]}
    assert (forecast(shapeless).seconds, forecast(shapeless).memory_bytes) == (None, None)


def test_a_recipe_that_leaves_nothing_says_so() -> None:
    found = forecast(ignored_scope={"patterns": [".*"]})
    assert found.layers == ()
    assert "refused" in found.notes[0]


def test_a_distillation_takes_its_time_and_no_more_than_it_may() -> None:
    prune = {"method": "layerwise_pruning", "sparsity_level": 0.75}
    plain = forecast().seconds
    long = forecast(steps=[prune, {"method": "finetune", "steps": 2000}])
    longer = forecast(steps=[prune, {"method": "finetune", "steps": 4000}])
    longest = forecast(steps=[prune, {"method": "finetune", "steps": 6000}])
    limited = forecast(steps=[prune, {"method": "finetune", "steps": 100_000, "max_time": 60}])
    left_open = forecast(steps=[prune, {"method": "finetune"}])
    assert left_open.seconds == long.seconds
    large = INSPECTION | {"inputs": [{**INSPECTION["inputs"][0], "shape": [1, 3, 224, 224]}]}
    few, given = (
        forecast(large, steps=[prune, {"method": "finetune", **knobs}]) for knobs in ({}, {"steps": 700, "batch_size": 16})
    )
    assert few.seconds == given.seconds
    assert plain < long.seconds
    assert longest.seconds - longer.seconds == pytest.approx(longer.seconds - long.seconds)
    assert limited.seconds == pytest.approx(plain + 60)
    assert any("torch" in note for note in long.notes)


def test_columns_are_those_of_the_matrix_and_not_of_the_stored_shape() -> None:
    """A MatMul may be stored (columns, rows), a transposed convolution (inputs, outputs, ...): the inspection tells."""
    stored = {"name": "head", "type": "MatMul", "shape": [64, 10], "weights": 640, "macs": 640, "outputs": 10}
    steps = [{"method": "uniform", "bits": 4}]
    told = forecast({**INSPECTION, "layers": [{**stored, "columns": 64}]}, steps=steps)
    assert told.layers[0].bits == 4 + 16 / 64
    plain = forecast({**INSPECTION, "layers": [stored]}, steps=steps)
    assert plain.layers[0].bits == 4 + 16 / 10


IMAGE = {
    "name": "image",
    "shape": [1, 3, 32, 32],
    "dtype": "float32",
    "layout": "NCHW",
    "batch_axis": 0,
    "source_shape": [-1, 3, 32, 32],
}


def test_what_will_be_assumed_is_said_before() -> None:
    image = {**INSPECTION, "inputs": [IMAGE]}
    told = (
        "Assumed: pixels are scaled by the mean and standard deviation of ImageNet; the first axis of 'image' counts samples."
    )
    assert forecast(image).assumed == f"{told} The recipe can say otherwise."
    declared = forecast(image, preprocessing={"mean_values": [0], "scale_values": [255]}, batch={"image": 0})
    assert declared.assumed is None
    grey = {**IMAGE, "shape": [1, 1, 28, 28], "source_shape": [1, 1, -1, 28]}
    assert forecast({**INSPECTION, "inputs": [grey]}).assumed == (
        "Assumed: pixels are divided by 255; 'image' is 1 x 1 x 28 x 28. The recipe can say otherwise."
    )
    assert forecast({**INSPECTION, "inputs": []}).assumed is None


def test_it_reckons_with_the_figures_of_the_engine() -> None:
    assert forecasting.FRONTIER_BYTES == sample_schedule.FRONTIER_BYTES
    assert cost.VALUES_AT_ONCE == compression.MOST_VALUES_AT_ONCE
    assert cost.PROBES == sensitivity_profile.MOST_SAMPLES
    assert cost.LOSSES == error_attribution.MOST_SAMPLES
    assert (cost.PROBE_PASSES, cost.FEWEST) == (sensitivity.PASSES, sensitivity.FEWEST)
    assert (cost.LOSS_PASSES, cost.FEWEST_LOSSES) == (error_attribution.PASSES, error_attribution.FEWEST)
    assert (cost.SESSIONS, cost.WAVES) == (benchmark.SESSIONS, benchmark.WAVES)
    assert cost.ENOUGH_SESSIONS == benchmark.FEWEST_SESSIONS


def test_time_goes_by_the_machine_that_inspected() -> None:
    """A machine on which everything takes twice as long needs twice the time."""
    once = {"import_s": 0.3, "compile_s": 0.05, "inference_s": 0.001, "sorting_s": 0.0008}
    twice = {name: 2 * seconds for name, seconds in once.items()}
    slow, fast = (forecast(INSPECTION | {"speed": speed}, benchmark=None).seconds for speed in (twice, once))
    assert slow == pytest.approx(2 * fast)
    alone = {"import_s": 0.3, "compile_s": 0.05, "inference_s": 0.002, "sorting_s": 0.0008}  # a network that is twice as large
    assert fast < forecast(INSPECTION | {"speed": alone}, benchmark=None).seconds < slow


def test_measuring_what_layers_cost_is_foreseen() -> None:
    prune = {"method": "layerwise_pruning", "sparsity_level": 0.75}
    uniform, optimal = (forecast(steps=[prune | {"allocation": name}]).seconds for name in ("uniform", "optimal"))
    assert uniform < optimal
    assert forecast(benchmark={"hint": "throughput"}).seconds > forecast().seconds > forecast(benchmark=None).seconds


def test_images_that_the_network_recognises_take_their_time() -> None:
    def calibrated(**calibration: Any) -> Any:
        return forecast(calibration={"count": 4096, **calibration}).seconds

    plain, few, some, many = (calibrated(inversion_steps=steps) for steps in (0, 2, 4, 8))
    assert many - few == pytest.approx(3 * (some - few))  # 7, 13 and 25 passes
    assert plain < few < calibrated() <= many
    assert (read := calibrated(source="dataset")) < plain
    steps = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.75}], "calibration": {"count": 4096}}
    assert foresee(INSPECTION, Recipe.model_validate(steps), data=True).seconds == read
