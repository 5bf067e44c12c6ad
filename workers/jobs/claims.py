"""Work that processes share by locking files: whoever locks one first has it, until it lets go or dies.

Files lie in a folder of the job that all of them see. What is done, or no longer wanted, is closed by an empty file.
"""

import fcntl
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO


class Claims:
    """What this process has of the work in `folder`, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, BinaryIO] = {}

    def take(self, name: str, wait: bool = False) -> bool:
        """Lock a piece of work, or see that another process has it; the system lets go of what a dead one had.

        False also where the folder is gone, which means that the job has ended. Raises FileNotFoundError for that if it waits.
        """
        try:
            file = self._path(name, ".lock").open("wb")
        except FileNotFoundError:
            if wait:
                raise
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._held[name] = file
        return True

    def release(self, name: str) -> None:
        """Let other processes have it: closing the file unlocks it."""
        if file := self._held.pop(name, None):
            file.close()

    def close(self, name: str) -> None:
        """Nobody needs to take it any more."""
        self._path(name, ".closed").touch()

    def closed(self, name: str) -> bool:
        """Whether nobody needs to take it, or the folder is gone."""
        return not self._folder.is_dir() or self._path(name, ".closed").exists()

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{sha256(name.encode()).hexdigest()}{suffix}"


def candidate_name(level: int) -> str:
    """What the candidate of a search at a level is called among the claims of a job."""
    return f"candidate {level}"
