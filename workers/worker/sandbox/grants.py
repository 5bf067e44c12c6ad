"""What a job may open: the program and its libraries, the model and the data of the task, and its own folder."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from workers.confinement import landlock
from workers.confinement.launch import ROOT
from workers.jobs.job import JobTask

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt/intel"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/alternatives"),
    *("/proc", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm"),
    *("/dev/zero", "/dev/urandom", "/dev/random"),
)
SINKS = ("/dev/null", "/dev/full")
PACKAGES = ("workers", "fractal_data", "fractune")  # where they are not installed but lie in a working copy
SITES = ("site-packages", "dist-packages")
BESIDE = 10_000  # files beside a model that may belong to it
LINKED = 1_000  # folders to which the links in a folder of samples may lead


def grants(task: JobTask, workdir: Path, command: Sequence[str]) -> dict[str, int]:
    """From paths to rights, for `landlock.restrict`."""
    return {
        str(ROOT): landlock.LIST,
        **landlock.readable(map(str, _program(command))),
        **landlock.readable(map(str, _inputs(task))),
        **dict.fromkeys(SINKS, landlock.READ_FILE | landlock.WRITE_FILE),
        **dict.fromkeys(map(str, [workdir, *shared_folders(task)]), landlock.WRITE),
    }


def shared_folders(task: JobTask) -> list[str]:
    """What a job may write to beside its own folder."""
    return [folder for folder in (task.checkpoints, task.cache) if folder]


def _program(command: Sequence[str]) -> Iterator[Path]:
    """The interpreter, the packages and the system's libraries; not what else lies in a folder from which we were started."""
    yield from map(Path, SYSTEM)
    yield from (Path(folder) for folder in (sys.prefix, sys.base_prefix, sys.exec_prefix))
    yield from (Path(folder) for folder in sys.path if any(site in Path(folder).parts for site in SITES))
    yield from (ROOT / package for package in PACKAGES)
    yield from (Path(word).resolve() for word in command[:-1] if os.path.isabs(word) and os.path.isfile(word))
    yield from (Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if os.path.isabs(folder))


def _inputs(task: JobTask) -> Iterator[Path]:
    """The model, what may belong to it, and the samples."""
    for model in map(Path, filter(None, (task.model, task.other))):
        yield model
        if not model.is_dir() and model.parent.is_dir():
            beside = (Path(entry) for entry in os.scandir(model.parent) if entry.is_file(follow_symlinks=False))
            yield from islice(beside, BESIDE)
    metric = task.metric.rpartition(":")[0] if task.metric else None
    for path in filter(None, (task.data, task.evaluation, task.decoder, metric)):
        yield Path(path)
        yield from _linked(Path(path))


def _linked(folder: Path) -> Iterable[Path]:
    """Folders of the files to which links in a folder lead: samples are often chosen by links."""
    links = (path for path in folder.rglob("*") if path.is_symlink()) if folder.is_dir() else ()
    return islice(dict.fromkeys(link.resolve().parent for link in links), LINKED)
