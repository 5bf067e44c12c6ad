"""What jobs leave for later jobs on the same model."""

import os
from pathlib import Path

from tests.workers.test_folders import make_deep
from workers.jobs.model_cache import model_cache, trim


def test_each_project_has_a_folder_of_its_own_for_each_model(tmp_path: Path) -> None:
    of = [("p", "a"), ("p", "a"), ("p", "../b"), ("q", "a"), ("../q", "a"), ("pa", "")]
    first, again, *others = (model_cache(tmp_path / "cache", *names) for names in of)
    assert first == again
    assert len({first, *others}) == len(of) - 1
    assert {Path(path or "").parent.parent for path in (first, *others)} == {tmp_path / "cache"}


def test_no_folder_where_none_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    assert model_cache(tmp_path / "cache", "p", "a") is None


def test_those_used_longest_ago_go_first(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        path = tmp_path / "project" / name / "x.images"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(10_000))
        os.utime(path, (1000 + age, 1000 + age))
    trim(tmp_path, 25_000)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.images")) == ["b", "c"]
    trim(tmp_path, 1000)
    assert not list(tmp_path.rglob("*.images"))


def test_what_no_job_of_ours_leaves_goes(tmp_path: Path) -> None:
    folder = Path(model_cache(tmp_path, "p", "a") or "")
    make_deep(folder / "deep", 1100)
    (folder / "link").symlink_to("/etc/passwd")
    for n in range(3):
        (folder / f"empty{n}").touch()
    trim(tmp_path, 8192)
    assert len(list(folder.iterdir())) == 2, "an empty file is not free"
