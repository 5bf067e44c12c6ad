"""What `fractune bench` measures, on models so small that it takes a moment."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.ir.tiny import cnn, save
from workers.errors import DataMismatch
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.speed import benchmark

STEPS = {"steps": [{"method": "int8"}]}


def timed(model: Path, other: Path | None = None, **settings: Any) -> Any:
    out, shapes = model.parent / "out", settings.pop("shapes", {})
    recipe = STEPS | {"benchmark": {"niter": 10, "pc": False, **settings}, "shapes": shapes}
    task = JobTask(Kind.BENCHMARK, str(model), str(out), recipe, other=str(other) if other else None)
    benchmark(task, Clock(lambda event: None))
    return json.loads((out / "benchmark.json").read_text())


def test_one_model_has_an_interval_of_its_own(tmp_path: Path) -> None:
    found = timed(save(cnn(), tmp_path / "model.onnx"))
    assert (found["rounds"], found["sessions"], len(found["model"]["wall_ms"])) == (10, 10, 10)
    median = found["median_ms"]
    assert (
        min(found["model"]["wall_ms"]) <= median["low"] <= median["value"] <= median["high"] <= max(found["model"]["wall_ms"])
    )


def test_a_batch_counts_its_samples(tmp_path: Path) -> None:
    model = save(cnn(), tmp_path / "model.onnx")
    for found in timed(model, batch=4), timed(model, shapes={"in": [4, 3, 16, 16]}):
        assert (found["batch_size"], found["shapes"]) == (4, {"in": [4, 3, 16, 16]})
        assert found["model"]["throughput_fps"] == pytest.approx(4e3 / found["median_ms"]["value"], rel=0.01)


def test_two_models_are_timed_round_by_round(tmp_path: Path) -> None:
    models = [save(cnn(), tmp_path / name) for name in ("first.onnx", "second.onnx")]
    found = timed(*models)
    rounds = [
        first / second for first, second in zip(*(found[side]["wall_ms"] for side in ("original", "compressed")), strict=True)
    ]
    assert min(rounds) <= found["ratio"]["low"] <= found["ratio"]["value"] <= found["ratio"]["high"] <= max(rounds) * 1.0001


def test_models_of_other_inputs_cannot_be_compared(tmp_path: Path) -> None:
    model = save(cnn(), tmp_path / "model.onnx")
    renamed = cnn()
    renamed.graph.input[0].name = renamed.graph.node[0].input[0] = "other"
    with pytest.raises(DataMismatch, match="different inputs"):
        timed(model, save(renamed, tmp_path / "other.onnx"))
