"""A file on its way in: hashed and measured while it is written, durable when it is finished."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from workers.digest import file_sha256
from workers.errors import ChecksumMismatch, Conflict, StorageFull, TooLarge

CHECK_BYTES = 64 << 20  # how often free space is looked at


class Incoming:
    """A file being received, possibly in parts. Use as a context: it is locked against another writer."""

    def __init__(self, path: Path, max_bytes: int, min_free_bytes: int) -> None:
        """Continues the file at `path` if there is one."""
        self.path = path
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes

    def __enter__(self) -> Self:
        self._file = self.path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise Conflict("Another request is writing to this upload.", hint="Wait for it to end.") from error
        self.size = os.fstat(self._file.fileno()).st_size
        self._digest = hashlib.sha256() if self.size == 0 else None
        self._checked = -CHECK_BYTES
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append. Raises TooLarge, StorageFull."""
        if self.size + len(data) > self._max_bytes:
            raise TooLarge(f"The upload is larger than {self._max_bytes} bytes.")
        self._check_free_space()
        with storage_errors():
            self._file.write(data)
        self.size += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def finish(self, sha256: str | None = None) -> str:
        """Flush to disk; the SHA-256. Raises ChecksumMismatch when it is not the announced one."""
        with storage_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
        actual = self._digest.hexdigest() if self._digest is not None else file_sha256(self.path)
        if sha256 is not None and actual != sha256:
            raise ChecksumMismatch(f"Received SHA-256 {actual}, announced was {sha256}.")
        return actual

    def _check_free_space(self) -> None:
        if self.size - self._checked < CHECK_BYTES:
            return
        self._checked = self.size
        free = shutil.disk_usage(self.path.parent).free
        if free < self._min_free_bytes:
            raise StorageFull(f"{free} bytes are free, {self._min_free_bytes} must stay free.")


@contextmanager
def storage_errors() -> Iterator[None]:
    """A full disk as StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull from error
        raise
