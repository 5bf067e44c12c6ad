"""What an interrupted command leaves to the next one that asks for the same: solved layers, and candidates that were judged."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from workers.confinement.launch import ROOT
from workers.folders import remove
from workers.jobs.job import JobTask

PROGRAM = [file for package in ("workers", "fractal_data") for file in (ROOT / package).rglob("*.py")]
KEPT_S = 7 * 86400.0  # that nobody has taken it up
WEIGHTS = 1 << 16  # bytes of a file beside a model, from which on it may hold weights of it


@contextmanager
def checkpoints(root: Path, task: JobTask) -> Iterator[Path | None]:
    """The folder in `root` that keeps what `task` has solved, with what an interrupted run of the same has left there.

    None where it cannot be made, or another process is at the same task.
    """
    try:
        folder = root / same_task(task)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield None
        return
    try:
        yield folder if _locked(opened) else None
    finally:
        os.close(opened)


def forget(root: Path, now: float | None = None) -> None:
    """Remove what has waited for longer than KEPT_S to be taken up."""
    with suppress(OSError):
        for folder in root.iterdir():
            if folder.stat().st_mtime < (time.time() if now is None else now) - KEPT_S:
                remove(folder)


def same_task(task: JobTask) -> str:
    """What is to be done, to which files and by which program: places, sizes and times of files tell.

    Beside a model lie its weights, by whatever name; what is smaller than WEIGHTS, a log for instance, may change.
    """
    model, metric = Path(task.model), task.metric and task.metric.rpartition(":")[0]
    beside = [] if model.is_dir() else [path for path in model.parent.iterdir() if path.is_file() and _size(path) >= WEIGHTS]
    named = [Path(path) for path in (task.model, task.data, task.evaluation, task.decoder, metric) if path]
    files = [file for path in named for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    seen = [(str(path), _size(path), path.stat().st_mtime_ns) for path in (*files, *sorted(beside)) if path.is_file()]
    asked = asdict(replace(task, out="", checkpoints=None, cache=None))
    program = max(file.stat().st_mtime_ns for file in PROGRAM)
    return sha256(json.dumps([asked, seen, program], sort_keys=True).encode()).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size


def _locked(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
