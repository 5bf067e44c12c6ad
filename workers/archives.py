"""Zip archives from strangers: checked as a whole before a byte is unpacked, then copied out file by file."""

import shutil
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import ArrayLike

from workers.errors import Refusal, UnsafeArchive

MAX_ENTRIES = 200_000
MAX_BYTES = 16 * 2**30
MAX_RATIO = 100  # unpacked / packed, for archives that unpack to more than FREE_BYTES
FREE_BYTES = 64 * 2**20
MAX_NAME_BYTES = 240  # of one part of a path; file systems allow 255

NESTED = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
ARRAY = ".npy"
LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db"}
BROKEN_DIRECTORY = (BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error)
BROKEN_ENTRY = (BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, struct.error, zlib.error)


@contextmanager
def open_zip(path: Path, damaged: type[Refusal]) -> Iterator[tuple[ZipFile, list[ZipInfo]]]:
    """The archive and its files, after every check.

    Raises UnsafeArchive where a rule is broken, `damaged` where the archive cannot be read, also while it is in use.
    """
    try:
        archive = ZipFile(path)
    except BROKEN_DIRECTORY as error:
        raise damaged(f"The archive is damaged: {error}.") from error
    with archive:
        if any(entry.header_offset < 0 or not entry.filename for entry in archive.infolist()):
            raise damaged("The archive is damaged: an entry begins before the file or has no name.")
        files = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_litter(entry)]
        _check(files, path.stat().st_size)
        try:
            yield archive, files
        except BROKEN_ENTRY as error:
            raise damaged(f"The archive is damaged: {error}.") from error


def unpack(path: Path, folder: Path, damaged: type[Refusal]) -> None:
    """Copy every file of the archive into `folder`. Raises as `open_zip` does."""
    with open_zip(path, damaged) as (archive, files):
        for entry in files:
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("xb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**20)  # ZipFile gives no more than the size that was checked


def pack_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write an .npz of arrays under any name; `numpy.savez` takes none that is called as one of its own parameters."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}{ARRAY}", "w", force_zip64=True) as packed:
                np.lib.format.write_array(packed, np.asanyarray(array), allow_pickle=False)


def _check(files: list[ZipInfo], packed: int) -> None:
    total = sum(entry.file_size for entry in files)
    if len(files) > MAX_ENTRIES:
        raise UnsafeArchive(f"The archive holds {len(files)} files; the limit is {MAX_ENTRIES}.")
    if total > MAX_BYTES:
        raise UnsafeArchive(f"The archive unpacks to {total} bytes; the limit is {MAX_BYTES}.")
    if total > max(FREE_BYTES, MAX_RATIO * packed):
        raise UnsafeArchive(f"The archive unpacks to {total / packed:.0f} times its size; the limit is {MAX_RATIO} times.")
    for entry in files:
        _check_entry(entry)
    _check_names([PurePosixPath(entry.filename) for entry in files])


def _check_entry(entry: ZipInfo) -> None:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise UnsafeArchive(f"The entry {entry.filename!r} is a link or a device, not a file.")
    if entry.flag_bits & 1:
        raise UnsafeArchive(f"The entry {entry.filename!r} is encrypted.", hint="Pack the files without a password.")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise UnsafeArchive(f"The entry {entry.filename!r} is not packed by Deflate.", hint="Use a plain zip program.")
    if PurePosixPath(entry.filename).suffix.lower() in NESTED:
        raise UnsafeArchive(
            f"The entry {entry.filename!r} is an archive inside the archive.", hint="Pack the files themselves."
        )


def _check_names(names: list[PurePosixPath]) -> None:
    for name in names:
        if name.is_absolute() or not name.parts or ".." in name.parts or "\\" in str(name) or _names_a_drive(name):
            raise UnsafeArchive(f"The entry {str(name)!r} points outside the archive.")
        if any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in name.parts) or len(name.parts) > 20:
            raise UnsafeArchive(f"The entry {str(name)[:60]!r}... has too long a name.")
    folders = {folder for name in names for folder in name.parents}
    if len(set(names)) < len(names) or not folders.isdisjoint(names):
        raise UnsafeArchive("Two entries of the archive claim the same name.")


def _names_a_drive(name: PurePosixPath) -> bool:
    """As in C:file; arrays are called as inputs are, for example serving_default_x:0, and are not unpacked by their names."""
    return ":" in name.parts[0] and name.suffix != ARRAY


def _is_litter(entry: ZipInfo) -> bool:
    return not LITTER.isdisjoint(PurePosixPath(entry.filename).parts)
