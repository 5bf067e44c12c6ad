"""A command that is killed, and the same command again: what was solved is there, and nothing else comes out."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.terminal import interrupted
from tests.waiting import PATIENCE_S, until
from tests.workers.ir.tiny import cnn, save
from workers.digest import file_sha256
from workers.jobs.job import JobTask, Kind

RECIPE = {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}],
    "search": {"resolution": 0.1},
    "constraint": {"metric": "kl_divergence", "max_drop": 0.5},
    "calibration": {"count": 16, "source": "dataset"},
    "check_original": False,
    "benchmark": None,
}


def started(folder: Path, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service", "optimize", "model.onnx", "--recipe", "recipe.json", "--data", "data.npz"]
    environment = os.environ | {"FRACTUNE_DATA_DIR": str(folder / "own")}
    return subprocess.Popen([*command, "--threads", "1", "--out", out, "--quiet"], cwd=folder, env=environment)


def kept(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "own" / "checkpoints").rglob(name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(cnn(), tmp_path / "model.onnx")
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.integers(0, 256, (96, 16, 16, 3), np.uint8), y=rng.integers(0, 4, 96))
    return tmp_path


def test_a_killed_command_is_taken_up_by_the_same_command(folder: Path) -> None:
    killed = started(folder, "first")
    until(lambda: len(kept(folder, "model.xml")) >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE_S)
    there = kept(folder, "model.xml")
    before = [path.stat().st_mtime_ns for path in there]
    second = started(folder, "first")
    until(lambda: len(kept(folder, "model.xml")) > len(there))
    assert [path.stat().st_mtime_ns for path in there] == before, "its candidates are not made again"
    assert second.wait(PATIENCE_S) in (0, 3)
    assert not list((folder / "own" / "checkpoints").iterdir()), "what is done leaves nothing"
    whole = started(folder, "whole")
    assert whole.wait(PATIENCE_S) == second.returncode
    first, other = (file_sha256(folder / out / "1/model.bin") for out in ("first", "whole"))
    assert first == other


# which task is the same


def task(folder: Path) -> JobTask:
    return JobTask(
        Kind.COMPRESS, str(folder / "model.onnx"), str(folder / "out"), {"steps": []}, data=str(folder / "data.npz"), threads=1
    )


def test_the_place_of_the_result_does_not_matter_and_all_else_does(folder: Path) -> None:
    one = task(folder)
    told = interrupted.same_task
    assert told(one) == told(replace(one, out="elsewhere", cache="there"))
    assert told(one) != told(replace(one, recipe={"steps": [], "seed": 1}))
    assert told(one) != told(replace(one, threads=2))
    first = told(one)
    (folder / "log.txt").write_text("a small file beside the model")
    assert told(one) == first
    (folder / "weights").write_bytes(bytes(interrupted.WEIGHTS))
    second = told(one)
    assert second != first
    os.utime(folder / "data.npz", ns=(1, 1))
    assert told(one) != second


def test_a_folder_of_pictures_is_known_by_its_files(folder: Path) -> None:
    pictures = folder / "pictures"
    (pictures / "cats").mkdir(parents=True)
    one = replace(task(folder), data=str(pictures))
    empty = interrupted.same_task(one)
    (pictures / "cats" / "1.png").write_bytes(b"1")
    assert interrupted.same_task(one) != empty


def test_two_processes_at_one_task_do_not_share(folder: Path) -> None:
    with interrupted.checkpoints(folder / "kept", task(folder)) as first:
        assert first is not None
        with interrupted.checkpoints(folder / "kept", task(folder)) as second:
            assert second is None
    with interrupted.checkpoints(folder / "kept", task(folder)) as third:
        assert third == first


def test_where_nothing_can_be_kept_the_task_is_done_without(folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    with interrupted.checkpoints(folder / "file", task(folder)) as place:
        assert place is None


def test_what_nobody_takes_up_goes_after_a_week(folder: Path) -> None:
    with interrupted.checkpoints(folder / "kept", task(folder)) as place:
        assert place is not None
    interrupted.forget(folder / "kept", time.time() + interrupted.KEPT_S - 60)
    assert place.is_dir()
    interrupted.forget(folder / "kept", time.time() + interrupted.KEPT_S + 60)
    assert not place.exists()
    interrupted.forget(folder / "nowhere")
