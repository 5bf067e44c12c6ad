"""Formats of today, each written here: what is read is compressed, and what is not is refused by its name with a remedy."""

import json
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from tests.corpus import paddle
from tests.corpus.test_corpus import STEPS, answers
from workers.errors import IncompleteModel
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress


def pruned(path: Path, out: Path, **recipe: object) -> ov.Model:
    """The result of pruning half of the weights of a model; its report tells how many layers there were."""
    wanted = {"steps": [STEPS["prune"] | {"allocation": "uniform"}], "calibration": {"count": 16}, "benchmark": None, **recipe}
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=wanted, threads=1), Clock(lambda event: None))
    report = json.loads((out / "report.json").read_text())
    assert report["layers"]
    assert all(0.4 < layer["sparsity"] < 0.6 for layer in report["layers"])
    return ov.Core().read_model(out / "1/model.xml")


def test_a_paddle_program_is_read_with_the_file_of_its_weights(tmp_path: Path) -> None:
    weights = paddle.save(tmp_path)
    imported = load(tmp_path / "model.pdmodel")
    assert imported.format == "paddle"
    values = np.random.default_rng(2).normal(size=(3, 12)).astype(np.float32)
    expected = np.maximum(values @ weights["first"], 0) @ weights["second"]
    np.testing.assert_allclose(answers(ov.Core().read_model(tmp_path / "model.pdmodel"), [values])[0], expected, rtol=1e-4)
    result = pruned(tmp_path / "model.pdmodel", tmp_path / "out")
    assert [port.get_names() for port in (*result.inputs, *result.outputs)] == [{"x"}, {"y"}]
    (found,) = answers(result, [values])
    assert np.linalg.norm(found - expected) < 0.8 * np.linalg.norm(expected)
    (tmp_path / "model.pdiparams").unlink()
    with pytest.raises(IncompleteModel, match="model.pdiparams") as caught:
        load(tmp_path / "model.pdmodel")
    assert "one zip" in caught.value.hint
