"""Folders that somebody else has filled: what they hold, and how they go, however deep they are."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

BLOCK = 512  # bytes, of st_blocks
SMALLEST = 4096  # bytes that a file costs at least, however empty


class Contents(NamedTuple):
    """What lies below a folder; each figure ends where the caller's limit is passed."""

    occupied: int  # bytes on disk
    entries: int
    depth: int  # levels of folders


def contents(folder: Path, most: int, deepest: int) -> Contents:
    """Count, and stop after `most` entries; folders below `deepest` levels are not entered. Links count as what they are."""
    total, entries, depth, waiting = 0, 0, 0, [(str(folder), 1)]
    while waiting and entries <= most:
        inner, level = waiting.pop()
        depth = max(depth, level)
        for entry in _entries(inner) if level <= deepest else ():
            if (entries := entries + 1) > most:
                break
            with suppress(OSError):  # it has just been removed
                total += max(entry.stat(follow_symlinks=False).st_blocks * BLOCK, SMALLEST)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, level + 1))
    return Contents(total, entries, depth)


def is_plain(path: Path, root: Path) -> bool:
    """Whether it is a file of its own, to which no link leads from `root`. Raises nothing."""
    folders = takewhile(lambda folder: folder != root, path.parents)
    try:
        return _is_own_file(path.lstat()) and all(stat.S_ISDIR(folder.lstat().st_mode) for folder in folders)
    except OSError:
        return False


def open_plain(path: Path) -> BinaryIO:
    """A file to be read whose name somebody else may change meanwhile. Raises OSError for a link, and for what is no file."""
    file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not _is_own_file(os.fstat(file.fileno())):
        file.close()
        raise FileNotFoundError(f"{path} is no file of its own")
    return file


def _is_own_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds; what cannot be removed stays. `rmtree` ends at 1,000 levels."""
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            return path.unlink(missing_ok=True)
    except OSError:
        return None
    waiting = [path]
    while waiting:
        inner = waiting.pop()
        with suppress(OSError):
            waiting += [_lifted(Path(entry), path) for entry in _entries(str(inner)) if _is_left(entry)]
        if inner != path:
            with suppress(OSError):
                inner.rmdir()
    with suppress(OSError):
        path.rmdir()


def _is_left(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, that is to be emptied first; anything else is removed."""
    if entry.is_dir(follow_symlinks=False):
        return True
    os.unlink(entry.path)
    return False


def _lifted(folder: Path, top: Path) -> Path:
    """The folder, directly below `top`: so no path grows long."""
    return folder if folder.parent == top else folder.rename(top / uuid4().hex)


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return
