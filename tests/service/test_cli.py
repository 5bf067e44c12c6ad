"""`fractune` as a command: exit statuses, messages and files, with small programs in place of the child."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

SAY = """
import json, os, pathlib, sys
task = json.load(open(sys.argv[1] + "/task.json"))
out = pathlib.Path(task["out"])
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
def finish(constraint=None):
    (out / "1").mkdir()
    (out / "1" / "model.xml").write_text("<net/>")
    size = {"original_bytes": 400_000, "compressed_bytes": 200_000, "original_zip_bytes": 300_000, "zip_bytes": 100_000}
    one = {"value": 0.5, "low": 0.4, "high": 0.6}
    judged = {"task": "classification", "accuracy_metric": "top1"}
    accuracy = judged | {"accuracy_original": one, "accuracy_compressed": one | {"low": None, "high": None}}
    fidelity = {"n": 600, "source": "dataset", "agreement": one, **accuracy}
    judged = {"size": size, "fidelity": fidelity, "benchmark": None, "constraint": constraint}
    report = {"sparsity": 0.5, "layers": [], "warnings": [], "advice": ["Try this."], **judged, "schema_version": "1"}
    (out / "report.json").write_text(json.dumps(report))
    say("done")
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fractune(tmp_path: Path) -> Run:
    """Runs the command in an empty folder that holds a file model.onnx."""
    (tmp_path / "model.onnx").write_bytes(b"model")

    def run(*arguments: str, child: str = "finish()", **variables: str) -> "subprocess.CompletedProcess[str]":
        command = json.dumps([sys.executable, "-c", SAY + textwrap.dedent(child)])
        environment = {
            **os.environ,
            "FRACTUNE_DATA_DIR": str(tmp_path / "data"),
            "FRACTUNE_CHILD_COMMAND": command,
            "COLUMNS": "200",
        }
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return run


def test_optimize_leaves_its_results_and_nothing_else(fractune: Run, tmp_path: Path) -> None:
    done = fractune("optimize", "model.onnx", "--prune", "0.5")
    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "model-fractune").iterdir()} == {"1", "report.json", "log.txt"}
    assert "50.00 %" in done.stdout
    assert "2.00 times smaller" in done.stdout


def test_optimize_again_replaces_the_results(fractune: Run, tmp_path: Path) -> None:
    for constraint in ("None", '{"met": True, "reason": ""}'):
        assert (
            fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out", child=f"finish({constraint})").returncode == 0
        )
    assert json.loads((tmp_path / "out" / "report.json").read_text())["constraint"]["met"] is True


def test_optimize_replaces_nothing_of_other_origin(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "out" / "1").mkdir(parents=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    refused = fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out")
    assert refused.returncode == 2
    assert "holds 1, and no result of Fractune" in refused.stderr
    assert list((tmp_path / "out" / "1").iterdir()) == []
    assert fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out", "--force").returncode == 0
    again = fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out")
    assert "will be replaced" in again.stderr
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("met", "status"), [("None", 0), ("True", 0), ("False", 3), ("'unverified'", 4)])
def test_the_exit_status_tells_of_the_constraint(fractune: Run, met: str, status: int) -> None:
    child = "finish()" if met == "None" else f"finish({{'met': {met}, 'reason': ''}})"
    assert fractune("optimize", "model.onnx", "--prune", "0.5", child=child).returncode == status


def test_a_refusal_exits_with_2_and_leaves_nothing(fractune: Run, tmp_path: Path) -> None:
    child = """
        say("failure", code="MODEL_SHAPE", message="The input [x] is open.", hint="Give --shape.", stage="import")
        sys.exit(2)
    """
    done = fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out", child=child)
    assert done.returncode == 2
    assert "MODEL_SHAPE The input [x] is open. [import]\nGive --shape.\n" in done.stderr
    assert not (tmp_path / "out").exists()


def test_compare_says_what_it_does_not_find(fractune: Run) -> None:
    done = fractune("compare", "nowhere", "neither/here")
    assert done.returncode == 2
    assert "nowhere is neither a folder with a report.json" in done.stderr


def test_a_crash_exits_with_1_and_keeps_the_log(fractune: Run, tmp_path: Path) -> None:
    done = fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "out", child="os.abort()")
    assert done.returncode == 1
    assert "CRASHED" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["log.txt"]


def test_quiet_says_nothing(fractune: Run) -> None:
    done = fractune("optimize", "model.onnx", "--prune", "0.5", "--quiet", child='say("progress", stage="import"); finish()')
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_stages_are_named_where_there_is_no_terminal(fractune: Run) -> None:
    child = 'say("progress", stage="import"); say("progress", stage="compress", done=1, total=2); finish()'
    assert "import\ncompress\n" in fractune("optimize", "model.onnx", "--prune", "0.5", child=child).stderr


def test_options_end_up_in_the_task(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"steps": [], "preprocessing": {"mean_values": [1, 2, 3]}, "seed": 3}))
    (tmp_path / "data.npz").touch()
    fractune(
        *("optimize", "model.onnx", "--recipe", "recipe.json", "--prune", "0.25", "--shape", "x[1,3,8,8]", "--seed", "7"),
        *("--data", "data.npz", "--eval", "data.npz", "--threads", "2"),
        child='(out / "task.json").write_text(json.dumps(task)); (out / "report.json").write_text("{}"); finish()',
    )
    task = json.loads((tmp_path / "model-fractune" / "task.json").read_text())
    assert task["model"] == str(tmp_path / "model.onnx")
    assert task["data"] == task["evaluation"] == str(tmp_path / "data.npz")
    assert task["threads"] == 2
    recipe = task["recipe"]
    assert recipe["steps"][0]["sparsity_level"] == 0.25
    assert (recipe["shapes"], recipe["seed"], recipe["preprocessing"]["mean_values"]) == ({"x": [1, 3, 8, 8]}, 7, [1, 2, 3])


ECHO = '(out / "task.json").write_text(json.dumps(task)); finish()'


def test_a_model_alone_is_made_faster(fractune: Run, tmp_path: Path) -> None:
    done = fractune("optimize", "model.onnx", child=ECHO)
    recipe = json.loads((tmp_path / "model-fractune" / "task.json").read_text())["recipe"]
    assert (recipe["goal"], [step["method"] for step in recipe["steps"]]) == ("speed", ["int8"])
    assert "Faster (--goal speed)" in done.stderr
    assert "Next    Try this." in done.stderr


def test_any_knob_is_set_beside_a_goal(fractune: Run, tmp_path: Path) -> None:
    knobs = ("--set", "steps.0.bits=3", "--set", "preprocessing.scale_values=[255]", "--set", "preprocessing.fit=stretch")
    fractune("optimize", "model.onnx", "--goal", "size", *knobs, child=ECHO)
    recipe = json.loads((tmp_path / "model-fractune" / "task.json").read_text())["recipe"]
    assert (recipe["goal"], recipe["steps"][0]["bits"]) == ("size", 3)
    assert (recipe["preprocessing"]["scale_values"], recipe["preprocessing"]["fit"]) == ([255], "stretch")


def test_programs_get_json_alone(fractune: Run) -> None:
    done = fractune("optimize", "model.onnx", "--json")
    assert (json.loads(done.stdout)["sparsity"], done.stderr) == (0.5, "")
    assert json.loads(fractune("doctor", "--json").stdout)["python"]["fine"] is True


def test_nothing_is_cut_where_a_program_reads(fractune: Run) -> None:
    name = "a-layer-whose-name-is-long" * 10
    child = (
        f'(out / "inspection.json").write_text(json.dumps({{"layers": [{{"name": "{name}", "type": "MatMul"}}]}})); say("done")'
    )
    assert name in fractune("inspect", "model.onnx", child=child, COLUMNS="").stdout


def test_ctrl_c_says_that_nothing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    child = SAY + "say('progress', stage='import')\nimport signal\nsignal.pause()"
    variables = {
        "FRACTUNE_DATA_DIR": str(tmp_path / "data"),
        "FRACTUNE_CHILD_COMMAND": json.dumps([sys.executable, "-c", child]),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "service", "optimize", "model.onnx"]
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | variables, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any(line.strip() == "import" for line in running.stderr)
        running.send_signal(signal.SIGINT)
        assert "nothing goes on" in running.stderr.read()
        assert running.wait(PATIENCE_S) == 130
    assert not (tmp_path / "model-fractune").exists()


def test_a_goal_takes_a_limit_of_ones_own(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "data.npz").touch()
    fractune("optimize", "model.onnx", "--goal", "limit", "--max-drop", "0.02", "--eval", "data.npz", child=ECHO)
    recipe = json.loads((tmp_path / "model-fractune" / "task.json").read_text())["recipe"]
    assert (recipe["goal"], recipe["constraint"]["max_drop"]) == ("limit", 0.02)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["optimize", "model.onnx", "--goal", "spede"], "Did you mean `speed`?"),
        (["optimize", "model.onnx", "--goal", "limit"], "--eval"),
        (["optimize", "model.onnx", "--goal", "size", "--int8"], "Give one of them."),
        (["optimize", "model.onnx", "--prune", "1.5"], "sparsity_level"),
        (["optimize", "model.onnx", "--set", "calibration.cuont=5"], "Did you mean `count`?"),
        (["optimize", "model.onnx", "--set", "steps.3.bits=5"], "names no knob"),
        (["optimize", "model.onnx", "--set", 'steps=[{"method": "inc"}]'], "Did you mean `inq`?"),
        (["optimize", "model.onnx", "--prune", "0.5", "--shape", "1x3"], "'1x3' is not a shape"),
        (["optimize", "model.onnx", "--recipe", "model.onnx"], "is not JSON"),
        (["optimize", "nowhere.onnx", "--prune", "0.5"], "does not exist"),
        (["methods", "layerwise_prunin"], "Did you mean `layerwise_pruning`?"),
        (["optimise"], "Did you mean 'optimize'?"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(fractune: Run, arguments: list[str], complaint: str) -> None:
    done = fractune(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_variable_is_named(fractune: Run) -> None:
    done = fractune("optimize", "model.onnx", "--prune", "0.5", FRACTUNE_LIMITS__GRACE_S="soon")
    assert done.returncode == 2
    assert "FRACTUNE_LIMITS__GRACE_S" in done.stderr


def test_a_folder_that_cannot_be_made(fractune: Run) -> None:
    done = fractune("optimize", "model.onnx", "--prune", "0.5", "--out", "model.onnx/out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_inspect_prints_what_the_child_found(fractune: Run) -> None:
    child = '(out / "inspection.json").write_text(json.dumps({"format": "onnx", "parameters": 70090})); say("done")'
    assert "70,090" in fractune("inspect", "model.onnx", child=child).stdout
    assert json.loads(fractune("inspect", "model.onnx", "--json", child=child).stdout)["parameters"] == 70090


def test_methods_are_listed_with_their_knobs(fractune: Run) -> None:
    assert "layerwise_pruning" in fractune("methods").stdout
    assert "sparsity_level" in fractune("methods", "layerwise_pruning").stdout
    assert "properties" in json.loads(fractune("methods", "layerwise_pruning", "--json").stdout)


def test_fractals_are_the_same_for_a_seed_and_overwrite_nothing(fractune: Run, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        assert fractune("fractals", "--count", "3", "--size", "16", "--seed", "5", "--out", name).returncode == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a-sheet.png").exists()
    again = fractune("fractals", "--count", "3", "--size", "16", "--out", "a.npz")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_doctor_finds_what_is_missing(fractune: Run, tmp_path: Path) -> None:
    assert fractune("doctor").returncode == 0
    (tmp_path / "file").touch()
    done = fractune("doctor", FRACTUNE_DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "Set FRACTUNE_DATA_DIR" in done.stdout


def test_a_picture_is_prepared_as_the_report_beside_the_model_says(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.xml").write_text("<net/>")
    (tmp_path / "1" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "cat.png").write_bytes(b"")
    recipe = {"steps": [{"method": "int8"}], "preprocessing": {"scale_values": [255]}}
    (tmp_path / "report.json").write_text(json.dumps({"schema_version": "1", "recipe": recipe}))
    child = """
        files = sorted(os.listdir(task["data"]))
        (scale,) = task["recipe"]["preprocessing"]["scale_values"]
        answer = {"sample": files[0], "classes": [{"class": 1, "probability": scale / 300}], "outputs": []}
        (out / "predictions.json").write_text(json.dumps({"assumed": "Assumed: it.", "predictions": [answer]}))
        say("done")
    """
    done = fractune("predict", "1/model.xml", "cat.png", child=child)
    assert done.stdout == "cat.png\n   85.00 %  dog (1)\n", done.stderr
    assert "report.json" in done.stderr
    assert "Assumed: it." in done.stderr
    refused = fractune("predict", "1/model.xml", "cat.png", "report.json", "1", child=child)
    assert refused.returncode == 2
    assert "1 is a dataset" in refused.stderr


def test_a_benchmark_of_two_models_is_told_with_its_verdict(fractune: Run, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"model")
    child = """
        latencies = {"latency_%s_ms" % name: 1.5 for name in ("median", "average", "min", "max")}
        side = latencies | {"latency_percentiles_ms": {"99": 2.5}, "throughput_fps": 600.0, "cpu_median_ms": 1.4}
        side |= {"compile_ms": 30.0, "infer_precision": "f32", "kernel_precisions": {"f32": 3}}
        ratio = {"value": 1.2, "low": 1.1, "high": 1.3, "significant": True}
        asked = task["recipe"]["benchmark"]
        told = {"original": side, "compressed": side, "ratio": ratio, "verdict": "The compressed model is as the original."}
        told["notes"] = []
        told |= {"hint": asked["hint"], "batch_size": asked["batch"], "shapes": {"x": [asked["batch"], 3]}}
        told |= {"rounds": 100, "sessions": 20, "nthreads": 1}
        (out / "benchmark.json").write_text(json.dumps(told))
        say("done")
    """
    done = fractune("bench", "model.onnx", "other.onnx", "--batch", "8", child=child)
    assert "1.20 times as fast [1.10, 1.30]" in done.stdout, done.stderr
    assert "x 8x3; 100 rounds in 20 compilations, 1 thread, batch 8" in done.stdout
    assert "other.onnx is as model.onnx." in done.stderr
    assert done.stdout.split()[:2] == ["model.onnx", "other.onnx"]
    assert json.loads(fractune("bench", "model.onnx", "other.onnx", "--json", child=child).stdout)["ratio"]["value"] == 1.2
    assert fractune("bench", "model.onnx", "--nstreams", "2").returncode == 2
