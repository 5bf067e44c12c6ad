"""What all processes and files of a job may come to: ceilings that no limit of a single process can be."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from workers.errors import Crashed, JobFailure, OutOfDisk, OutOfMemory
from workers.settings import Limits

RESERVE_BYTES = 64 << 20  # of disk, left to the store, which has to record what became of the job
FOLDER_EVERY = 5  # looks at the group for one at the folder, which may hold many files
BLOCK = 512  # bytes, of st_blocks
RSS_FIELD, GROUP_FIELD, THREADS_FIELD = 21, 2, 17  # of /proc/PID/stat, after the name


class Ceiling:
    """Looks after one job."""

    def __init__(self, group: int, folder: Path, memory: int, limits: Limits) -> None:
        self._group, self._folder, self._memory, self._limits = group, folder, memory, limits
        self._looks = 0

    def exceeded(self) -> JobFailure | None:
        """Which ceiling the job is above now."""
        memory, threads = of_group(self._group)
        self._looks += 1
        if memory > self._memory:
            return OutOfMemory(f"The job needed more memory than its limit of {self._memory / 2**30:.1f} GiB.")
        if threads > self._limits.processes:
            return Crashed(f"The job started more than {self._limits.processes} threads.")
        return self._disk() if self._looks % FOLDER_EVERY == 0 else None

    def _disk(self) -> JobFailure | None:
        if of_folder(self._folder) > self._limits.disk:
            return OutOfDisk(f"The job wrote more than its limit of {self._limits.disk / 2**30:.1f} GiB.")
        if shutil.disk_usage(self._folder).free < RESERVE_BYTES:
            return OutOfDisk()
        return None


def of_group(group: int) -> tuple[int, int]:
    """Resident bytes and threads of a process group; nothing where the system has no /proc."""
    page = os.sysconf("SC_PAGE_SIZE")
    members = [fields for fields in _processes() if int(fields[GROUP_FIELD]) == group]
    return sum(int(fields[RSS_FIELD]) * page for fields in members), sum(int(fields[THREADS_FIELD]) for fields in members)


def of_folder(folder: Path) -> int:
    """Bytes that the files below a folder occupy; links count as what they are."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # it has just been removed
            continue
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_blocks * BLOCK
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return total


def _processes() -> Iterator[list[str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            yield (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
