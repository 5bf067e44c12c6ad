"""Models that keep state: compressed with samples that begin after a reset, and just as stateful afterwards."""

import json
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from tests.corpus.stateful import decoder, frames_of_one, memory_cell
from tests.corpus.test_corpus import STEPS, ports
from workers.errors import UnsupportedOperation
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.states import expose_states
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress

BUILDS = {build.__name__: build for build in (memory_cell, frames_of_one, decoder)}
SHAPES = {"decoder": {"input_ids": [1, 6]}}


def saved(name: str, folder: Path) -> Path:
    ov.save_model(BUILDS[name](), folder / "source.xml", compress_to_fp16=False)
    return folder / "source.xml"


def told(request: ov.InferRequest, values: list[np.ndarray]) -> np.ndarray:
    return request.infer(dict(enumerate(values)))[0].copy()


def frames(model: ov.Model, rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs of one inference: a frame, or six tokens and the only beam."""
    if len(model.inputs) == 1:
        return [rng.normal(size=(1, 6)).astype(np.float32)]
    return [rng.integers(0, 50, (1, 6)), np.zeros(1, np.int32)]


@pytest.mark.parametrize("method", ["prune", "int8", "inq"])
@pytest.mark.parametrize("name", BUILDS)
def test_the_result_is_as_stateful_as_the_source(name: str, method: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    recipe = {"steps": [STEPS[method]], "calibration": {"count": 16}, "shapes": SHAPES.get(name, {}), "benchmark": None}
    compress(JobTask(Kind.COMPRESS, str(path), str(tmp_path / "out"), recipe=recipe, threads=1), Clock(lambda event: None))
    source, result = ov.Core().read_model(path), ov.Core().read_model(tmp_path / "out/1/model.xml")
    assert ports(result) == ports(source)
    assert {node.get_attributes()["variable_id"] for node in result.get_sinks()} == {
        node.get_attributes()["variable_id"] for node in source.get_sinks()
    }
    before, after = (ov.Core().compile_model(model, "CPU", EXACT).create_infer_request() for model in (source, result))
    rng = np.random.default_rng(1)
    steps = [frames(source, rng) for _ in range(4)]
    expected, found = (np.stack([told(request, values) for values in steps]) for request in (before, after))
    first = told(after, steps[0])
    after.reset_state()
    assert np.array_equal(told(after, steps[0]), found[0])
    assert not np.allclose(first, found[0])  # the state of four inferences was there
    assert ((expected - found) ** 2).sum() < 0.8 * (expected**2).sum()
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["model"]["sizes_kept"]
    assert [output["name"] for output in report["model"]["outputs"]] == [min(port.get_names()) for port in source.outputs]


def test_a_plain_form_computes_what_the_source_computes_step_by_step(tmp_path: Path) -> None:
    path = saved("memory_cell", tmp_path)
    imported = load(path)
    assert [entry.name for entry in imported.inputs] == ["x"]
    request = ov.Core().compile_model(ov.Core().read_model(path), "CPU", EXACT).create_infer_request()
    plain = ov.Core().compile_model(imported.model, "CPU", EXACT).create_infer_request()
    rng, state = np.random.default_rng(2), np.zeros((1, 8), np.float32)
    for _ in range(3):
        values = [rng.normal(size=(1, 6)).astype(np.float32)]
        answer = plain.infer(dict(enumerate([*values, state])))
        np.testing.assert_allclose(told(request, values), answer[0], rtol=1e-4, atol=1e-5)
        state = answer[1].copy()


def test_state_that_nothing_writes_is_refused() -> None:
    model = memory_cell()
    model.remove_sink(model.get_sinks()[0])
    with pytest.raises(UnsupportedOperation, match="state"):
        expose_states(model)
