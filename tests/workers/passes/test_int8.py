"""8-bit quantisation on small networks, through NNCF itself."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from nncf.common.logging.track_progress import track
from nncf.openvino.engine import OVNativeEngine
from onnx import TensorProto, helper
from pydantic import ValidationError

from tests.workers.ir.tiny import cnn, graph, matmul, save, weight
from tests.workers.passes.compressing import Job
from workers.errors import NotQuantizable, UnmatchedScope
from workers.evaluation.kernels import precisions
from workers.ir.writing.exporter import export
from workers.passes.nncf_layers import smoothing
from workers.passes.output_error import MEASURED
from workers.passes.quiet_nncf import quiet_nncf
from workers.recipe import Recipe

PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}
INT8 = {"method": "int8"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(batch=1), tmp_path_factory.mktemp("model") / "cnn.onnx")


@pytest.fixture(scope="module")
def alone(network: Any) -> Any:
    return Job(network, [INT8])


@pytest.fixture(scope="module")
def joined(network: Any) -> Any:
    return Job(network, [PRUNING, INT8])


def test_every_layer_is_quantised_and_announced(alone: Any) -> None:
    assert list(alone.results) == ["first", "second", "third"]
    assert [result.layer.name for result in alone.announced] == ["first", "second", "third"]
    assert alone.compressed.skipped == ()
    for result in alone.results.values():
        assert np.unique(result.weight).size <= 255 * result.weight.shape[0] * result.weight.shape[1]
        np.testing.assert_allclose(result.weight, result.original, atol=np.abs(result.original).max() / 100)


def test_progress_never_runs_backwards(alone: Any) -> None:
    done = [done for done, _, _ in alone.told]
    assert done == sorted(done)
    assert {total for _, total, _ in alone.told} == {3}
    assert any("statistics" in message for _, _, message in alone.told)


def test_the_error_of_a_layer_is_what_its_outputs_lose(alone: Any) -> None:
    before, after = (alone.outputs(model)[:MEASURED] for model in (alone.original, alone.compressed.model))
    lost = (before - after).var(axis=0).sum() / before.var(axis=0).sum()
    assert alone.results["third"].relative_error == pytest.approx(lost, rel=1e-3)
    assert lost > 0


def test_zeros_of_pruning_survive(joined: Any, network: Path) -> None:
    pruned = Job(network, [PRUNING])
    for name, result in joined.results.items():
        assert [step.method for step in result.steps] == ["layerwise_pruning", "int8"]
        zeros = pruned.results[name].weight == 0
        assert zeros.mean() >= 0.4
        assert not result.weight[zeros].any()


def test_what_is_written_keeps_the_kernels_and_the_zeros(joined: Any, tmp_path: Path) -> None:
    layers = [(result.layer, result.scale) for result in joined.compressed.results]
    exported = export(joined.compressed.model, layers, tmp_path, {})
    written = ov.Core().read_model(exported.xml)
    assert set(precisions(ov.Core().compile_model(written, "CPU"))) <= {"u8", "i8"}
    np.testing.assert_array_equal(joined.outputs(written), joined.outputs(joined.compressed.model))
    assert all(row.bits <= 16 for row in exported.layers)


def test_the_same_job_gives_the_same_bytes(alone: Any, network: Path, tmp_path: Path) -> None:
    files = []
    for number, job in enumerate((alone, Job(network, [INT8]))):
        layers = [(result.layer, result.scale) for result in job.compressed.results]
        exported = export(job.compressed.model, layers, tmp_path / str(number), {})
        files.append((exported.xml.read_bytes(), exported.bin.read_bytes()))
    assert files[0] == files[1]


@pytest.mark.parametrize("where", ["recipe", "step"])
def test_an_ignored_layer_stays_as_it_is_and_the_report_says_why(network: Path, where: str) -> None:
    scope = {"names": ["second"]}
    job = Job(network, [INT8], ignored_scope=scope) if where == "recipe" else Job(network, [INT8 | {"ignored_scope": scope}])
    assert "second" not in job.results
    assert [(entry.name, entry.reason) for entry in job.compressed.skipped] == [("second", "ignored_scope.names: 'second'")]


def test_a_rule_of_the_step_that_matches_nothing_is_refused_before_the_work(network: Path) -> None:
    with pytest.raises(UnmatchedScope, match="did you mean 'second'"):
        Job(network, [INT8 | {"ignored_scope": {"names": ["secund"]}}])


def test_a_model_with_nothing_to_quantise_is_refused(network: Path) -> None:
    with pytest.raises(NotQuantizable, match="no layer"):
        Job(network, [INT8 | {"ignored_scope": {"types": ["Convolution", "GroupConvolution", "MatMul"]}}])


def test_nothing_follows_int8() -> None:
    with pytest.raises(ValidationError, match="int8 must be the last step"):
        Recipe.model_validate({"steps": [INT8, PRUNING]})


@pytest.mark.parametrize(
    "knobs",
    [
        {"preset": "mixed"},
        {"fast_bias_correction": False, "subset_size": 5},
        {"model_type": "transformer"},
        {"advanced_parameters": {"overflow_fix": "enable", "quantize_outputs": True}},
    ],
    ids=str,
)
def test_nncf_takes_every_knob(network: Path, knobs: dict[str, Any]) -> None:
    job = Job(network, [INT8 | knobs])
    assert len(job.results) == 3
    assert {result.samples for result in job.announced} == {knobs.get("subset_size", MEASURED)}


def test_tokens_and_embeddings(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "in"], ["e"], name="embedding"),
        helper.make_node("MatMul", ["e", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["out"], name="second"),
    ]
    weights = {"table": weight(50, 16), "w1": weight(16, 32), "w2": weight(32, 8)}
    path = save(graph(nodes, weights, {"in": [None, 12]}, kind=TensorProto.INT32), tmp_path / "tokens.onnx")
    job = Job(path, [INT8])
    assert set(job.results) == {"first", "second"}


def test_weights_are_told_for_inputs_that_smooth_quant_has_not_divided(tmp_path: Path) -> None:
    path = save(matmul(weight(12, 40), (None, 12)), tmp_path / "wide.onnx")
    job = Job(path, [INT8 | {"model_type": "transformer"}])
    (result,) = job.results.values()
    assert np.ptp(smoothing(job.compressed.model, result.layer)) > 0
    np.testing.assert_allclose(result.weight, result.original, atol=np.abs(result.original).max() / 50)


def test_a_layer_whose_scales_outweigh_it_is_reported_as_what_it_is(tmp_path: Path) -> None:
    job = Job(save(matmul(weight(2, 40), (None, 2)), tmp_path / "wide.onnx"), [INT8])
    layers = [(result.layer, result.scale) for result in job.compressed.results]
    (row,) = export(job.compressed.model, layers, tmp_path, {}).layers
    assert (row.scheme, row.bytes) == ("i8", 80 + 4 * 40)


def test_nncf_prints_nothing_logs_with_the_job_and_keeps_to_its_threads(capfd: Any, caplog: pytest.LogCaptureFixture) -> None:
    told = []
    model = ov.Core().read_model(save_relu())
    with quiet_nncf(lambda *event: told.append(event), threads=1):
        assert list(track([1, 2], description="work")) == [1, 2]
        engine = OVNativeEngine(model)
        compiled = engine.engine.infer_request.get_compiled_model()
        logging.getLogger("nncf").warning("said aloud")
    assert told == [("work", 1, 2), ("work", 2, 2)]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert capfd.readouterr().out == ""
    assert "said aloud" in caplog.text
    assert list(track([1], disable=True)) == [1]


def save_relu() -> bytes:
    return graph([helper.make_node("Relu", ["in"], ["out"])], {}, {"in": [1, 4]}).SerializeToString()
