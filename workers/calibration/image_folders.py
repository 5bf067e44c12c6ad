"""Images in a folder or a zip: found, ordered, read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from workers.archives import BROKEN_ENTRY, MAX_ENTRIES, open_zip
from workers.calibration.image_decoding import MODES, SUFFIXES, decode, fit
from workers.calibration.labels import Labels, assign, read_labels
from workers.calibration.preprocessing import ImageInput
from workers.calibration.samples import Numbers, Rows
from workers.errors import DataMismatch, UnreadableData
from workers.recipe import Preprocessing

TABLE = "labels.csv"
MAX_FILE_BYTES = 256 * 2**20
MAX_TABLE_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Album:
    """Images by name, in the order of labels.csv, else of their names."""

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    labels: Labels | None  # one per name
    ignored: int  # files that are no images


def open_folder(path: Path) -> Album:
    """The images in a folder, at any depth. Raises as `_album` does."""
    files = {file.relative_to(path).as_posix(): file.stat().st_size for file in path.rglob("*") if file.is_file()}
    return _album(files, lambda name: (path / name).read_bytes())


def open_archive(path: Path) -> Album:
    """The images in a zip, read from it when they are asked for. Raises as `_album` does, and what `open_zip` does."""
    with open_zip(path, UnreadableData) as (_, entries):
        sizes = {entry.filename: entry.file_size for entry in entries}
    archive = ZipFile(path)

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except BROKEN_ENTRY as error:
            raise UnreadableData(f"The archive is damaged at {name!r}: {error}.") from error

    return _album(sizes, read)


def _album(sizes: dict[str, int], read: Callable[[str], bytes]) -> Album:
    """Raises UnreadableData without images or with enormous files, LabelMismatch where labels.csv does not fit."""
    if len(sizes) > MAX_ENTRIES:
        raise UnreadableData(f"The folder holds {len(sizes)} files; the limit is {MAX_ENTRIES}.")
    images = sorted(name for name in sizes if PurePosixPath(name).suffix.lower() in SUFFIXES)
    if not images:
        raise UnreadableData(f"There are no images among its {len(sizes)} files{_kinds(sizes)}.")
    table = next((name for name in sorted(sizes, key=len) if PurePosixPath(name).name == TABLE), None)
    for name in (*images, *([table] if table else [])):
        limit = MAX_TABLE_BYTES if name == table else MAX_FILE_BYTES
        if sizes[name] > limit:
            raise UnreadableData(f"The file {name!r} has {sizes[name]} bytes; the limit is {limit}.")
    if table is None:
        return Album(tuple(images), read, None, len(sizes) - len(images))
    classes = assign(images, read_labels(read(table).decode("utf-8-sig", errors="replace")))
    return Album(tuple(classes), read, np.array(list(classes.values()), np.int64), len(sizes) - len(images) - 1)


def _kinds(names: Iterable[str]) -> str:
    suffixes = sorted({PurePosixPath(name).suffix or "nameless" for name in names})
    return f" ({', '.join(suffixes[:5])})" if suffixes else ""


def picture_rows(album: Album, image: ImageInput, declared: Preprocessing) -> Rows:
    """Pixels (n, height, width, channels) of the model's size. Raises DataMismatch for channels that pictures do not have."""
    if image.channels not in MODES:
        raise DataMismatch(f"Input {image.name!r} takes {image.channels} channels.", hint="Give an .npz of arrays.")

    def picture(number: int) -> NDArray[np.uint8]:
        name = album.names[number]
        decoded = decode(BytesIO(album.read(name)), name, image.channels)
        return fit(decoded, f"The image {name!r}", image.height, image.width, declared)

    def rows(numbers: Numbers) -> NDArray[np.uint8]:
        return np.stack([picture(int(number)) for number in numbers])

    return rows
