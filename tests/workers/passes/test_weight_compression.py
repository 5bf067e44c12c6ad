"""Weights that stay compressed as the model runs, through NNCF itself."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from tests.workers.ir.tiny import graph, save, weight
from tests.workers.passes.compressing import Job
from workers.errors import UnmatchedScope
from workers.ir.writing.exporter import export
from workers.methods.weight_compression import WeightCompression
from workers.passes.output_error import MEASURED
from workers.recipe import Recipe

STORED = {"int8_asym": "u8", "int8_sym": "i8", "int4_asym": "u4", "int4_sym": "i4", "nf4": "nf4"}
GROUPS = {"group_size": 16, "all_layers": True}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A table of embeddings, two products and one that answers."""
    nodes = [
        helper.make_node("Gather", ["table", "in"], ["e"], name="embedding"),
        helper.make_node("MatMul", ["e", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["s"], name="second"),
        helper.make_node("MatMul", ["s", "w3"], ["out"], name="third"),
    ]
    weights = {"table": weight(500, 64), "w1": weight(64, 128), "w2": weight(128, 64), "w3": weight(64, 16)}
    model = graph(nodes, weights, {"in": [None, 12]}, kind=TensorProto.INT32)
    return save(model, tmp_path_factory.mktemp("model") / "encoder.onnx")


def compress(model: Any, **knobs: Any) -> Any:
    return Job(model, [{"method": "weight_compression", **knobs}])


def written(job: Any, folder: Path) -> Any:
    layers = [(result.layer, result.scale) for result in job.compressed.results]
    return ov.Core().read_model(export(job.compressed.model, layers, folder, {}).xml)


def inner(node: Any) -> Any:
    """The constant at the end of a chain of decoding operations."""
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node


@pytest.mark.parametrize("mode", STORED)
def test_products_and_embeddings_are_stored_in_the_mode_s_type_and_decode_as_they_run(
    encoder: Any, tmp_path: Path, mode: Any
) -> None:
    job = compress(encoder, mode=mode, **(GROUPS if "8" not in mode else {}))
    assert set(job.results) == {"first", "second", "third"}
    assert any("embedding" in entry.name and "weight_compression" in entry.reason for entry in job.compressed.skipped)
    model = written(job, tmp_path)
    nodes = {node.friendly_name: node for node in model.get_ops()}
    for name, port in {"first": 1, "second": 1, "third": 1, "embedding": 0}.items():
        assert inner(nodes[name].input_value(port).get_node()).get_element_type().to_string() == STORED[mode]
    runtime = ov.Core().compile_model(model, "CPU").get_runtime_model()
    kinds = {value.get_element_type().to_string() for node in runtime.get_ops() for value in node.input_values()}
    assert STORED[mode] in kinds  # the plugin has not decoded them when it compiled
    np.testing.assert_array_equal(job.outputs(model), job.outputs(job.compressed.model))


def test_the_error_of_a_layer_is_what_its_outputs_lose(encoder: Any) -> None:
    job = compress(encoder, mode="int4_sym", **GROUPS)
    before, after = (job.outputs(model)[:MEASURED] for model in (job.original, job.compressed.model))
    lost = np.square(before - after - (before - after).mean((0, 1))).sum() / np.square(before - before.mean((0, 1))).sum()
    assert job.results["third"].relative_error == pytest.approx(lost, rel=1e-3)
    assert all(result.relative_error > 0 for result in job.announced)


@pytest.mark.parametrize(
    "knobs",
    [
        {"ratio": 0.5, "group_size": 32, "sensitivity_metric": "max_activation_variance", "backup_mode": "int8_sym"},
        {"group_size": -1, "backup_mode": "none"},
        {"group_size": 32, "awq": True, "scale_estimation": True, "gptq": True, "subset_size": 4},
        {"group_size": 48},
    ],
    ids=str,
)
def test_nncf_takes_every_knob(encoder: Any, knobs: Any) -> None:
    assert compress(encoder, mode="int4_sym", **knobs).results


def test_zeros_of_pruning_survive_without_a_zero_point(encoder: Any) -> None:
    pruning = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}
    job = Job(encoder, [pruning, {"method": "weight_compression", "mode": "int8_sym"}])
    for result in job.results.values():
        assert (result.weight == 0).mean() >= 0.49
        assert [step.method for step in result.steps] == ["layerwise_pruning", "weight_compression"]


def test_an_ignored_layer_keeps_its_weights_and_the_report_says_why(encoder: Any) -> None:
    job = compress(encoder, ignored_scope={"names": ["second"]})
    assert "second" not in job.results
    assert ("second", "ignored_scope.names: 'second'") in [(entry.name, entry.reason) for entry in job.compressed.skipped]


def test_layers_have_modes_of_their_own(encoder: Any, tmp_path: Path) -> None:
    blocks = [
        {"scope": {"names": ["third", "embedding"]}, "group_size": 16},
        {"scope": {"names": ["first"]}, "mode": "int8_sym"},
    ]
    job = compress(encoder, mode="int4_sym", group_size=32, all_layers=True, layers=blocks)
    nodes = {node.friendly_name: node for node in written(job, tmp_path).get_ops()}
    expected = {"first": ("i8", 1), "second": ("i4", 1), "third": ("i4", 1), "embedding": ("i4", 0)}
    for name, (kind, port) in expected.items():
        assert inner(nodes[name].input_value(port).get_node()).get_element_type().to_string() == kind
    assert [job.results[name].steps[-1].mode for name in ("first", "second", "third")] == ["int8_sym", "int4_sym", "int4_sym"]
    assert job.results["third"].steps[-1].group_size == 16
    assert job.results["second"].steps[-1].group_size == 32
    np.testing.assert_array_equal(job.outputs(job.compressed.model).shape, job.outputs(job.original).shape)


def test_settings_for_layers_that_are_not_there_are_refused(encoder: Any) -> None:
    with pytest.raises(UnmatchedScope, match="did you mean 'third'"):
        compress(encoder, layers=[{"scope": {"names": ["thirt"]}, "mode": "int8_sym"}])
    with pytest.raises(ValidationError, match=r"layers.0: .*mode"):
        Recipe.model_validate({"steps": [{"method": "weight_compression", "layers": [{"scope": {}, "mode": "int3"}]}]})


@pytest.mark.parametrize(
    "knobs", [{"group_size": 64}, {"mode": "int8_sym", "awq": True}, {"mode": "int4_sym", "group_size": 0}]
)
def test_knobs_that_do_not_go_together_are_refused(knobs: Any) -> None:
    with pytest.raises(ValidationError, match="4 bits|group_size"):
        Recipe.model_validate({"steps": [{"method": "weight_compression", **knobs}]})


def test_the_forecast_counts_groups_and_what_stays_in_8_bits() -> None:
    assert WeightCompression(mode="int4_sym", group_size=64).expected_bits == 4.25
    assert WeightCompression(mode="int4_sym", group_size=64, ratio=0.5).expected_bits == 6.125
    assert WeightCompression().expected_bits == 8
