"""A search whose process dies: what was made and looked at is neither made nor looked at again, and nothing else comes out."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.waiting import PATIENCE_S
from tests.workers.ir.tiny import cnn, save
from workers.digest import file_sha256
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress

RECIPE = {
    "steps": [{"method": "int8", "rounding": "reconstruction"}],
    "search": {"objective": "size", "max_bytes": 1},  # by bytes, which no clock tells: the same order every time
    "pareto": {"points": 2},
    "calibration": {"count": 16, "inversion_steps": 0},
    "benchmark": None,
}
CHILD = (sys.executable, "-m", "workers.run.child")


def task_in(folder: Path, model: Path, recipe: dict[str, Any] = RECIPE, data: Path | None = None) -> JobTask:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    given = str(data) if data else None
    checkpoints = str(folder / "checkpoints")
    return JobTask(Kind.COMPRESS, str(model), str(folder / "out"), recipe, given, threads=1, checkpoints=checkpoints)


def run(folder: Path, task: JobTask, until: str | None = None, times: int = 1) -> list[dict[str, Any]]:
    """The events of a child that does the task; it is killed where it comes to the stage `until`, for the `times`th time."""
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    events = []
    with subprocess.Popen([*CHILD, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            events.append(json.loads(line))
            if until and len(begun(events, until)) == times:
                child.send_signal(signal.SIGKILL)
                break
        child.communicate(timeout=PATIENCE_S)
    assert child.returncode == (-signal.SIGKILL if until else 0)
    return events


def begun(events: list[dict[str, Any]], stage: str) -> list[dict[str, Any]]:
    """The events with which a stage begins; it may come more than once."""
    stages = [event.get("stage", "") for event in events]
    return [event for event, before in zip(events, ["", *stages], strict=False) if event.get("stage") == stage != before]


def models_in(folder: Path) -> dict[str, str]:
    files = sorted((folder / "out").rglob("model.*"))
    return {str(file.relative_to(folder)): file_sha256(file) for file in files}


def quantising(events: list[dict[str, Any]]) -> bool:
    return any("statistics" in event.get("message", "") for event in events)


def test_a_killed_search_goes_on_with_what_was_quantised(tmp_path: Path) -> None:
    model = save(cnn(), tmp_path / "model.onnx")
    killed = task_in(tmp_path / "killed", model)
    first = run(tmp_path / "killed", killed, until="verify")
    assert quantising(first)
    assert models_in(tmp_path / "killed").keys() == {"out/candidates/whole/1/model.bin", "out/candidates/whole/1/model.xml"}
    again = task_in(tmp_path / "again", model)
    second = run(tmp_path / "again", replace(again, checkpoints=killed.checkpoints))
    assert not quantising(second)
    (damaged,) = (tmp_path / "killed/checkpoints").rglob("quantised/model.xml")
    damaged.write_text("<net")
    whole = task_in(tmp_path / "whole", model)
    compress(replace(whole, checkpoints=killed.checkpoints), Clock(lambda event: None))  # which it makes again
    assert models_in(tmp_path / "again") == models_in(tmp_path / "whole")


PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}
COMMON = {"calibration": {"count": 16, "source": "dataset"}, "check_original": False, "benchmark": None}
LIMIT = {"constraint": {"metric": "kl_divergence", "max_drop": 0.5}}
SEARCHES: dict[str, dict[str, Any]] = {
    "levels": {"steps": [PRUNING], "search": {"resolution": 0.1}, **LIMIT, **COMMON},
    "operations": {"steps": [{"method": "int8"}], "pareto": {"points": 3}, **LIMIT, **COMMON},  # in an order told by a clock
}


def pictures(path: Path, count: int = 96) -> Path:
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (count, 16, 16, 3), np.uint8), y=rng.integers(0, 4, count))
    return path


def exploration(folder: Path) -> dict[str, Any]:
    """All that the report says of the candidates but how long they took, and which operations go first."""
    told = json.loads((folder / "out/report.json").read_bytes())["exploration"]
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in told["candidates"]]
    return {"candidates": rows, "order": told["order"]}


@pytest.mark.parametrize("name", SEARCHES)
def test_candidates_that_were_judged_are_taken_up_after_a_kill(tmp_path: Path, name: str) -> None:
    """The whole run comes last, with the order of the operations alone: it is timed, and no two runs would agree on it."""
    model, data = save(cnn(), tmp_path / "model.onnx"), pictures(tmp_path / "data.npz")
    killed = task_in(tmp_path / "killed", model, SEARCHES[name], data)
    first = run(tmp_path / "killed", killed, until="verify", times=3)  # two candidates were looked at
    again = task_in(tmp_path / "again", model, SEARCHES[name], data)
    second = run(tmp_path / "again", replace(again, checkpoints=killed.checkpoints))
    whole = task_in(tmp_path / "whole", model, SEARCHES[name], data)
    for order in Path(killed.checkpoints or "").rglob("order.json"):
        shutil.copytree(order.parent, Path(whole.checkpoints or "") / order.parent.name, ignore=lambda *_: ["1"])
    third = run(tmp_path / "whole", whole)
    assert len(begun(first, "export")) >= 2
    assert len(begun(third, "export")) - len(begun(second, "export")) >= 2, "their models are as they were"
    assert len(begun(third, "verify")) - len(begun(second, "verify")) >= 2, "and so is what they answered"
    assert models_in(tmp_path / "again") == models_in(tmp_path / "whole")
    assert exploration(tmp_path / "again") == exploration(tmp_path / "whole")


def test_a_damaged_record_is_made_again(tmp_path: Path) -> None:
    model, data = save(cnn(), tmp_path / "model.onnx"), pictures(tmp_path / "data.npz")
    task = task_in(tmp_path / "one", model, SEARCHES["levels"], data)
    compress(task, Clock(lambda event: None))
    before = exploration(tmp_path / "one")
    for number, record in enumerate(sorted(Path(task.checkpoints or "").rglob("record.json"))):
        broken = record.with_name(("record.json", "estimate", "model.bin")[number % 3])
        broken.write_bytes(broken.read_bytes()[:-9])
    other = replace(task_in(tmp_path / "two", model, SEARCHES["levels"], data), checkpoints=task.checkpoints)
    compress(other, Clock(lambda event: None))
    assert exploration(tmp_path / "two") == before
