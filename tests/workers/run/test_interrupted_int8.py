"""A search over int8 whose process dies: what was quantised is not quantised again, and nothing else comes out."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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


def task_in(folder: Path, model: Path) -> JobTask:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return JobTask(Kind.COMPRESS, str(model), str(folder / "out"), RECIPE, threads=1, checkpoints=str(folder / "checkpoints"))


def run(folder: Path, task: JobTask, until: str | None = None) -> list[dict[str, Any]]:
    """The events of a child that does the task; it is killed where it comes to the stage `until`."""
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    events = []
    with subprocess.Popen([*CHILD, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            events.append(json.loads(line))
            if until and events[-1].get("stage") == until:
                child.send_signal(signal.SIGKILL)
                break
        child.communicate(timeout=PATIENCE_S)
    assert child.returncode == (-signal.SIGKILL if until else 0)
    return events


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
