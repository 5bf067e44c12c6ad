"""What all processes and files of a job may come to: ceilings that no limit of a single process can be."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.errors import Crashed, JobFailure, OutOfDisk, OutOfMemory
from workers.folders import contents
from workers.settings import Limits

RESERVE_BYTES = 64 << 20  # of disk, left to the store, which has to record what became of the job
FOLDER_EVERY = 5  # looks at the group for one at the folders, which may hold many files
MOST_FILES = 1 << 20
DEEPEST = 64  # levels of folders
RSS_FIELD, GROUP_FIELD, THREADS_FIELD = 21, 2, 17  # of /proc/PID/stat, after the name


class Ceiling:
    """Looks after one job."""

    def __init__(self, group: int, folders: Sequence[Path], memory: int, limits: Limits) -> None:
        self._group, self._folders, self._memory, self._limits = group, folders, memory, limits
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
        found = [contents(folder, MOST_FILES, DEEPEST) for folder in self._folders]
        if sum(each.occupied for each in found) > self._limits.disk:
            return OutOfDisk(f"The job wrote more than its limit of {self._limits.disk / 2**30:.1f} GiB.")
        if sum(each.entries for each in found) > MOST_FILES:
            return OutOfDisk(f"The job made more than {MOST_FILES:,} files.")
        if max(each.depth for each in found) > DEEPEST:
            return Crashed(f"The job made folders more than {DEEPEST} levels deep.")
        if shutil.disk_usage(self._folders[0]).free < RESERVE_BYTES:
            return OutOfDisk()
        return None


def of_group(group: int) -> tuple[int, int]:
    """Resident bytes and threads of a process group; nothing where the system has no /proc."""
    page = os.sysconf("SC_PAGE_SIZE")
    members = [fields for fields in _processes() if int(fields[GROUP_FIELD]) == group]
    return sum(int(fields[RSS_FIELD]) * page for fields in members), sum(int(fields[THREADS_FIELD]) for fields in members)


def _processes() -> Iterator[list[str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            yield (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
