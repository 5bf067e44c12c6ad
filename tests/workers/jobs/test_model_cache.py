"""What jobs leave for later jobs on the same model."""

import os
from pathlib import Path

from workers.jobs.model_cache import model_cache, trim


def test_each_model_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, again, other = (model_cache(tmp_path / "cache", name) for name in ("a", "a", "../b"))
    assert first == again != other
    assert sorted(path.parent for path in (tmp_path / "cache").iterdir()) == [tmp_path / "cache"] * 2


def test_no_folder_where_none_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    assert model_cache(tmp_path / "cache", "a") is None


def test_those_used_longest_ago_go_first(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        path = tmp_path / name / "x.images"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, (1000 + age, 1000 + age))
    trim(tmp_path, 250)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.images")) == ["b", "c"]
    trim(tmp_path, 10)
    assert not list(tmp_path.rglob("*.images"))
