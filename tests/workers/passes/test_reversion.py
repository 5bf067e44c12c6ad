"""Operations taken back from int8, against the model that was quantised and against the graph with others taken back."""

from pathlib import Path

import numpy as np
import pytest

from tests.workers.ir.tiny import cnn, save
from tests.workers.passes.compressing import Job
from workers.errors import UnmatchedScope
from workers.ir.writing.exporter import export
from workers.passes.reversion import operation_harms, quantised_operations, taken_back
from workers.passes.state import CompressionState


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(batch=1), tmp_path_factory.mktemp("model") / "cnn.onnx")


@pytest.fixture(scope="module")
def whole(network: Path) -> Job:
    return Job(network, [{"method": "int8"}])


def quantised(job: Job) -> CompressionState:
    assert job.compressed.quantised is not None
    return job.compressed.quantised


def test_with_all_operations_taken_back_it_is_the_model_again(whole: Job) -> None:
    state = quantised(whole)
    names = quantised_operations(state.model)
    assert {"first", "second", "third"} <= set(names)
    back = taken_back(state, names)
    np.testing.assert_allclose(whole.outputs(back.model), whole.outputs(whole.original), rtol=1e-5, atol=1e-6)
    assert not quantised_operations(back.model)
    assert not back.results
    assert {entry.name for entry in back.skipped} == {"first", "second", "third"}


def test_a_harm_is_what_the_outputs_lose_with_all_others_taken_back(whole: Job) -> None:
    state = quantised(whole)
    assert state.unquantised is not None
    harms = operation_harms(state.model, state.unquantised.model, whole.samples.take(range(4)), 1)
    names = quantised_operations(state.model)
    none = whole.outputs(taken_back(state, names).model)[:4]
    for name in ("first", "third"):
        alone = taken_back(state, [other for other in names if other != name])
        found = whole.outputs(alone.model)[:4]
        assert harms[name] == pytest.approx(np.square(found - none).sum() / np.square(none).sum(), rel=0.02)
    assert min(harms.values()) >= 0


def test_the_recipe_with_what_was_taken_back_makes_the_same_bytes(whole: Job, network: Path, tmp_path: Path) -> None:
    state = taken_back(quantised(whole), ["second"])
    again = Job(network, [{"method": "int8", "reverted": ["second"]}])
    assert set(again.results) == set(state.results) == {"first", "third"}
    assert [result.layer.name for result in again.announced] == ["first", "third"]
    files = []
    for number, (model, results) in enumerate(
        [(state.model, state.results.values()), (again.compressed.model, again.compressed.results)]
    ):
        exported = export(model, [(result.layer, result.scale) for result in results], tmp_path / str(number), {})
        files.append((exported.xml.read_bytes(), exported.bin.read_bytes()))
    assert files[0] == files[1]


def test_an_operation_that_is_not_there_is_refused_by_name(network: Path) -> None:
    with pytest.raises(UnmatchedScope, match="did you mean 'second'"):
        Job(network, [{"method": "int8", "reverted": ["secund"]}])
