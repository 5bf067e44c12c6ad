"""Folders that a hostile job has filled."""

import os
from pathlib import Path

from workers.folders import contents, remove


def make_deep(folder: Path, levels: int) -> None:
    """Folders in folders, deeper than a path may name and than Python recurses."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 9, dir_fd=here)
        above, here = here, os.open("d" * 9, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


def test_however_deep_it_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    make_deep(tmp_path / "evil", 1100)
    (tmp_path / "evil" / "link").symlink_to(kept)
    (tmp_path / "link").symlink_to(kept)
    for name in ("evil", "link", "missing"):
        remove(tmp_path / name)
    assert list(tmp_path.rglob("*")) == [kept, kept / "file"]


def test_empty_files_links_and_depth_are_counted(tmp_path: Path) -> None:
    for n in range(10):
        (tmp_path / f"{n}").touch()
    (tmp_path / "link").symlink_to("/usr")
    found = contents(tmp_path, 100, 5)
    assert (found.entries, found.depth) == (11, 1)
    assert found.occupied >= 11 * 4096
    assert contents(tmp_path, 5, 5).entries == 6
    make_deep(tmp_path / "deep", 1100)
    assert contents(tmp_path, 100, 5).depth == 6
    remove(tmp_path / "deep")  # pytest could not
