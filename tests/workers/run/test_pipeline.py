"""A job in its own process, on the network that the project carries."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from tests.waiting import PATIENCE_S
from workers.ir.graph.frontier import EXACT
from workers.jobs.job import JobTask, Kind, Stage

EXAMPLES = Path(__file__).parents[3] / "examples"
RECIPE = json.loads((EXAMPLES / "recipe.json").read_text()) | {"calibration": {"count": 128}, "benchmark": {"niter": 10}}


def do(workdir: Path, task: JobTask) -> tuple[Any, ...]:
    """The exit code and the events of the child."""
    workdir.mkdir()
    (workdir / "task.json").write_text(json.dumps(asdict(task)))
    command = [sys.executable, "-m", "workers.run.child", str(workdir)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={"CI": "true", "PATH": ""}
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobTask, list[Any], dict[str, Any]]:
    """A finished job: its task, its events and its report."""
    folder = tmp_path_factory.mktemp("job")
    task = JobTask(
        Kind.COMPRESS,
        str(EXAMPLES / "digits.onnx"),
        str(folder / "out"),
        recipe=RECIPE,
        evaluation=str(EXAMPLES / "digits.npz"),
        threads=1,
    )
    code, events = do(folder / "work", task)
    assert code == 0, events[-1]
    return task, events, json.loads((folder / "out/report.json").read_text())


def test_the_result_lies_as_model_server_expects_it(job: tuple[JobTask, list[Any], dict[str, Any]]) -> None:
    task, _, _ = job
    files = {str(path.relative_to(task.out)) for path in Path(task.out).rglob("*") if path.is_file()}
    pictures = {f"samples/{picture.name}" for picture in Path(task.out, "samples").glob("*.png")}
    expected = {
        "1/model.xml",
        "1/model.bin",
        "report.json",
        "report.html",
        "model_card.md",
        "provenance.json",
        "calibration.png",
        "samples/samples.json",
    }
    assert files - pictures == expected
    assert pictures


def test_the_report_states_what_is_in_the_model(job: tuple[JobTask, list[Any], dict[str, Any]]) -> None:
    task, _, report = job
    model = ov.Core().read_model(Path(task.out, "1/model.xml"))
    original = ov.Core().read_model(task.model)
    assert [port.get_names() for port in model.inputs] == [port.get_names() for port in original.inputs]
    assert [port.get_names() for port in model.outputs] == [port.get_names() for port in original.outputs]
    assert [p.get_partial_shape() for p in model.inputs] == [p.get_partial_shape() for p in original.inputs]
    level = RECIPE["steps"][0]["sparsity_level"]
    assert report["sparsity"] == pytest.approx(level, abs=0.01)
    on_disk = sum(path.stat().st_size for path in Path(task.out, "1").iterdir())
    assert report["size"]["compressed_bytes"] == on_disk < report["size"]["original_bytes"]
    data = np.load(EXAMPLES / "digits.npz")
    assert report["fidelity"]["n"] == len(data["y"])
    assert report["fidelity"]["accuracy_original"]["value"] >= 0.97
    assert report["fidelity"]["accuracy_compressed"]["value"] >= 0.95


def test_the_exported_model_compiles_and_answers(job: tuple[JobTask, list[Any], dict[str, Any]]) -> None:
    task, _, _ = job
    compiled = ov.Core().compile_model(Path(task.out, "1/model.xml"), "CPU", EXACT)
    shape = [axis.get_length() if axis.is_static else 2 for axis in compiled.input(0).get_partial_shape()]
    assert np.isfinite(compiled(np.zeros(shape, np.float32))[0]).all()


def test_events_tell_stage_by_stage_and_layer_by_layer(job: tuple[JobTask, list[Any], dict[str, Any]]) -> None:
    _, events, report = job
    stages = list(dict.fromkeys(event["stage"] for event in events if event["event"] == "progress"))
    assert stages == [str(stage) for stage in Stage]
    for stage in Stage.SENSITIVITY, Stage.LOSSES:  # they count layers, and end with the last
        counted = [(e["done"], e["total"]) for e in events if e["event"] == "progress" and e["stage"] == stage]
        assert counted == sorted(counted)
        assert counted[-1][0] == counted[-1][1] >= len(report["layers"])
    assert {event["name"] for event in events if event["event"] == "layer"} == {row["name"] for row in report["layers"]}
    assert events[-1] == {"event": "done"}


def test_same_inputs_and_seed_give_the_same_bytes(job: tuple[JobTask, list[Any], dict[str, Any]], tmp_path: Path) -> None:
    task, _, _ = job
    again = replace(task, out=str(tmp_path / "out"))
    assert do(tmp_path / "work", again)[0] == 0
    for name in ("1/model.xml", "1/model.bin", "calibration.png"):
        first, second = (sha256(Path(folder, name).read_bytes()).hexdigest() for folder in (task.out, again.out))
        assert first == second, name


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": __file__}, "UNSUPPORTED_FORMAT"),
        ({"evaluation": __file__}, "DATA_UNREADABLE"),
        ({"recipe": {"steps": [{"method": "layerwise_pruning", "sparsety": 0.5}]}}, "RECIPE_INVALID"),
        ({"recipe": RECIPE | {"ignored_scope": {"names": ["nothing"]}}}, "SCOPE_UNMATCHED"),
        ({"recipe": RECIPE | {"ignored_scope": {"patterns": [".*"]}}}, "MODEL_NOTHING_TO_COMPRESS"),
        ({"recipe": RECIPE | {"calibration": {"source": "dataset"}}}, "RECIPE_INVALID"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    job: tuple[JobTask, list[Any], dict[str, Any]], tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    task = replace(job[0], out=str(tmp_path / "out"), **changes)
    exit_code, events = do(tmp_path / "work", task)
    assert exit_code == 2
    assert events[-1]["event"] == "failure"
    assert (events[-1]["code"], bool(events[-1]["hint"])) == (code, True)


def test_an_inspection_describes_the_model(tmp_path: Path) -> None:
    task = JobTask(Kind.INSPECT, str(EXAMPLES / "digits.onnx"), str(tmp_path / "out"))
    assert do(tmp_path / "work", task)[0] == 0
    found = json.loads((tmp_path / "out/inspection.json").read_text())
    assert found["format"] == "onnx"
    assert sum(layer["weights"] for layer in found["layers"]) <= found["parameters"]


def test_the_report_shows_what_fractals_alone_would_have_told(job: tuple[JobTask, list[Any], dict[str, Any]]) -> None:
    task, _, report = job
    on_data, on_fractals = report["fidelity"], report["fidelity_on_fractals"]
    assert (on_data["source"], on_fractals["source"], on_fractals["n"]) == ("dataset", "fractals", 128)
    assert on_fractals["accuracy_compressed"] is None
    assert 0 < on_fractals["relative_error"]["value"] != on_data["relative_error"]["value"]
    assert "On 128 held-out fractal images" in Path(task.out, "report.html").read_text()


def test_pruning_and_int8_end_to_end(tmp_path: Path) -> None:
    steps = [{"method": "layerwise_pruning", "sparsity_level": 0.6, "allocation": "uniform"}, {"method": "int8"}]
    recipe = RECIPE | {"steps": steps, "calibration": {"count": 128}}
    task = JobTask(
        Kind.COMPRESS,
        str(EXAMPLES / "digits.onnx"),
        str(tmp_path / "out"),
        recipe=recipe,
        evaluation=str(EXAMPLES / "digits.npz"),
        threads=1,
    )
    code, events = do(tmp_path / "work", task)
    assert code == 0, events[-1]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert {row["method"] for row in report["layers"]} == {"layerwise_pruning + int8"}
    assert report["sparsity"] == pytest.approx(0.6, abs=0.02)
    assert all(row["relative_error"] > 0 and row["bits"] < 16 for row in report["layers"])
    assert report["fidelity"]["accuracy_compressed"]["value"] >= 0.95
    assert set(report["benchmark"]["compressed"]["kernel_precisions"]) <= {"u8", "i8"}
    done = [event["done"] for event in events if event["event"] == "progress" and event["stage"] == Stage.COMPRESS]
    assert done == sorted(done)


def test_removed_channels_are_told_of(tmp_path: Path) -> None:
    step = {"method": "layerwise_pruning", "pattern": "channel", "sparsity_level": 0.3}
    recipe = RECIPE | {"steps": [step], "benchmark": None, "constraint": None}
    task = JobTask(Kind.COMPRESS, str(EXAMPLES / "digits.onnx"), str(tmp_path / "out"), recipe=recipe, threads=1)
    code, events = do(tmp_path / "work", task)
    assert code == 0, events[-1]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert 0.3 <= report["sparsity"] < 0.45
    assert report["size"]["compressed_bytes"] < 0.8 * report["size"]["original_bytes"]
    shrunk = [layer for layer in report["layers"] if layer["removed"] > 0]
    assert shrunk
    for layer in shrunk:
        assert layer["weights"] == np.prod(layer["shape"])
        assert layer["original_bytes"] == pytest.approx(4 * layer["weights"] / (1 - layer["removed"]))


def test_a_job_killed_half_way_goes_on_where_it_was_and_gives_the_same_bytes(
    job: tuple[JobTask, list[Any], dict[str, Any]], tmp_path: Path
) -> None:
    task, _, report = job
    again = replace(task, out=str(tmp_path / "out"), checkpoints=str(tmp_path / "checkpoints"))
    (tmp_path / "checkpoints").mkdir()  # as the worker that runs the job does
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "task.json").write_text(json.dumps(asdict(again)))
    command = [sys.executable, "-m", "workers.run.child", str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"CI": "true"}) as child:
        solved = (line for line in child.stdout if json.loads(line)["event"] == "layer")
        names = [json.loads(next(solved))["name"] for _ in range(2)]
        child.kill()
    code, _ = do(tmp_path / "work", again)
    resumed = json.loads((tmp_path / "out/report.json").read_text())
    assert code == 0
    assert len(names) <= resumed["reused_layers"] < len(resumed["layers"])
    assert report["reused_layers"] == 0
    for name in ("1/model.xml", "1/model.bin"):
        assert Path(again.out, name).read_bytes() == Path(task.out, name).read_bytes()


def test_a_distilled_super_network_from_recipe_to_report(tmp_path: Path) -> None:
    steps = [
        {"method": "super_network", "width": 1.3},
        {"method": "ec2t", "keep_ends": True},
        {"method": "finetune", "steps": 25},
    ]
    (tmp_path / "checkpoints").mkdir()  # as the worker that runs the job does
    task = JobTask(
        Kind.COMPRESS,
        str(EXAMPLES / "digits.onnx"),
        str(tmp_path / "out"),
        recipe=RECIPE | {"steps": steps, "benchmark": None},
        evaluation=str(EXAMPLES / "digits.npz"),
        threads=1,
        checkpoints=str(tmp_path / "checkpoints"),
    )
    code, events = do(tmp_path / "work", task)
    assert code == 0, events[-1]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["training"]["steps"] == 25
    assert {layer["method"] for layer in report["layers"]} == {"ec2t + finetune", "finetune"}
    assert "Distilled in 25 steps" in (tmp_path / "out/report.html").read_text()
    model = ov.Core().read_model(tmp_path / "out/1/model.xml")
    assert model.inputs[0].get_names() == ov.Core().read_model(task.model).inputs[0].get_names()


def test_what_weights_take_in_memory_is_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    """The child becomes the process that measures; its last event is the job's, and the page tells of it."""
    recipe = {
        "steps": [{"method": "weight_compression"}],
        "calibration": {"count": 8},
        "benchmark": {"niter": 10, "time": 1, "pc": False},
    }
    task = JobTask(Kind.COMPRESS, str(EXAMPLES / "digits.onnx"), str(tmp_path / "out"), recipe=recipe, threads=1)
    code, events = do(tmp_path / "work", task)
    assert (code, events[-1]) == (0, {"event": "done"})
    assert [event["event"] for event in events].count("done") == 1
    memory = json.loads((tmp_path / "out/report.json").read_text())["memory"]
    for side in memory.values():
        assert 0 < side["model_bytes"] < side["process_bytes"]
        assert side["process_bytes"] > 20e6  # Python and OpenVINO
    assert "Memory of the process" in (tmp_path / "out/report.html").read_text()
