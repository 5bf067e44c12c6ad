"""Which paths a job may open, and what it may do there."""

import os
import sys
from pathlib import Path

import pytest

from workers.confinement import landlock
from workers.confinement.launch import ROOT
from workers.jobs.job import JobTask, Kind
from workers.worker.sandbox.grants import grants, shared_folders
from workers.worker.sandbox.memory import allowance, oom_kills

COMMAND = (sys.executable, "-m", "workers.run.child", "/nowhere/work")


def task(model: Path | str = "", **others: str | None) -> JobTask:
    return JobTask(Kind.COMPRESS, str(model), "out", **others)  # type: ignore[arg-type]


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_a_job_writes_to_its_own_folders_and_nowhere_else(tmp_path: Path) -> None:
    model = written(tmp_path / "models/m.onnx")
    own = [str(tmp_path / name) for name in ("work", "checkpoints", "cache")]
    given = grants(task(model, checkpoints=own[1], cache=own[2]), Path(own[0]), COMMAND)
    writable = {path for path, rights in given.items() if rights & landlock.WRITE_FILE}
    assert writable == {*own, "/dev/null", "/dev/full"}
    assert not any(given[path] & landlock.EXECUTE for path in writable)
    assert given[str(model)] == landlock.READ


def test_the_working_copy_may_be_listed_and_only_its_packages_read(tmp_path: Path) -> None:
    given = grants(task(), tmp_path, COMMAND)
    assert given[str(ROOT)] == landlock.LIST
    assert given[str(ROOT / "workers")] == landlock.READ
    assert str(ROOT / "service") not in given
    assert "/etc" not in given
    assert "/" not in given
    assert str(Path.home()) not in given


def test_files_beside_a_model_may_belong_to_it_but_links_and_folders_do_not(tmp_path: Path) -> None:
    model, weights = written(tmp_path / "m.onnx"), written(tmp_path / "m.data")
    secret = written(tmp_path / "private/secret")
    (tmp_path / "link").symlink_to(secret)
    given = grants(task(model), tmp_path / "work", COMMAND)
    assert str(weights) in given
    for path in (tmp_path, tmp_path / "private", tmp_path / "link", secret):
        assert str(path) not in given


def test_of_a_model_in_a_folder_the_folder_is_read(tmp_path: Path) -> None:
    model = written(tmp_path / "saved/saved_model.pb").parent
    neighbour = written(tmp_path / "neighbour")
    given = grants(task(model), tmp_path / "work", COMMAND)
    assert given[str(model)] == landlock.READ
    assert str(neighbour) not in given


def test_links_among_samples_are_followed_to_their_folders(tmp_path: Path) -> None:
    elsewhere = written(tmp_path / "elsewhere/a.png")
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "a.png").symlink_to(elsewhere)
    (samples / "dangling").symlink_to(tmp_path / "gone/b.png")
    given = grants(task(data=str(samples)), tmp_path / "work", COMMAND)
    assert {str(samples), str(elsewhere.parent), str(tmp_path / "gone")} <= given.keys()


def test_no_more_folders_are_opened_by_links_than_a_job_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.worker.sandbox.grants.LINKED", 20)
    samples = tmp_path / "samples"
    samples.mkdir()
    for number in range(25):
        (samples / str(number)).symlink_to(f"/nowhere/{number}/x")
    assert sum(path.startswith("/nowhere/") for path in grants(task(data=str(samples)), tmp_path, COMMAND)) == 20


@pytest.mark.parametrize("place", ["metric.py:score", "odd:name.py:score"])
def test_a_metric_grants_its_file(tmp_path: Path, place: str) -> None:
    given = grants(task(metric=str(tmp_path / place)), tmp_path / "work", COMMAND)
    assert str(tmp_path / place).rpartition(":")[0] in given


def test_libraries_are_found_where_the_loader_is_told_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'lib'}:relative:")
    given = grants(task(), tmp_path / "work", COMMAND)
    assert str(tmp_path / "lib") in given
    assert "relative" not in given
    assert "" not in given
    assert "." not in given


def test_the_program_of_a_command_is_read_where_it_really_lies(tmp_path: Path) -> None:
    program = written(tmp_path / "bin/tool")
    (tmp_path / "tool").symlink_to(program)
    given = grants(task(), tmp_path / "work", (str(tmp_path / "tool"), "argument", "/nowhere/work"))
    assert str(program) in given


def test_shared_folders_are_those_that_there_are() -> None:
    assert shared_folders(task()) == []
    assert shared_folders(task(checkpoints="/a", cache="/b")) == ["/a", "/b"]
    assert shared_folders(task(cache="/b")) == ["/b"]


def test_a_job_is_left_less_than_the_machine_has() -> None:
    assert 0 < allowance() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert oom_kills() >= 0
