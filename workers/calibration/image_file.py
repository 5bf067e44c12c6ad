"""Pictures on disk that took long to make: appended batch by batch, taken up again after an interruption, read by number."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PARTIAL = ".part"


class ImageFile:
    """uint8 pictures (height, width, channels), one after another without a header; whole once it has its own name.

    Whoever makes them holds a lock, so that nobody else makes the same ones at the same time.
    """

    def __init__(self, path: Path, picture: tuple[int, int, int]) -> None:
        self.path, self.picture = path, picture
        self._bytes = int(np.prod(picture))
        self._partial = path.with_suffix(PARTIAL)

    @property
    def complete(self) -> bool:
        """Whether all pictures are there."""
        return self.path.is_file()

    @property
    def count(self) -> int:
        """How many pictures are there; what an interruption left of another does not count."""
        path = self.path if self.complete else self._partial
        return path.stat().st_size // self._bytes if path.is_file() else 0

    @contextmanager
    def making(self) -> Iterator[None]:
        """Lock the file, and give it its own name when the block has ended; a process that waited may find it complete."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.complete:
                _resize(self.path, self.path.stat().st_size)  # its time is now, and the most recently used are kept
                yield
                return
            if self._partial.is_file():
                _resize(self._partial, self.count * self._bytes)
            yield
            self._partial.replace(self.path)

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Keep some more (n, height, width, channels); they are on disk when this returns."""
        with self._partial.open("ab") as file:
            file.write(np.ascontiguousarray(pixels).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures by number, (n, height, width, channels)."""
        kept = np.memmap(self.path, np.uint8, "r").reshape(-1, *self.picture)
        return np.array(kept[numbers])


def _resize(path: Path, size: int) -> None:
    """Cut a file through its descriptor, which renews its time: a confined process may do neither by a path."""
    with path.open("r+b") as file:
        file.truncate(size)
