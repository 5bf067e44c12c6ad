"""Images in a folder or a zip: found, ordered, read."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from workers.archives import BROKEN_ENTRY, MAX_ENTRIES, open_zip
from workers.calibration.formats import Annotation, FileListing, find_annotation
from workers.calibration.formats.pictures import labels_among
from workers.calibration.image_decoding import MODES, SUFFIXES, decode, fit
from workers.calibration.preprocessing import ImageInput
from workers.calibration.samples import Numbers, Rows
from workers.errors import DataMismatch, UnreadableData
from workers.recipe import Preprocessing

MAX_FILE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Album:
    """Images by name, in the order of their annotations, else of their names."""

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    annotation: Annotation | None  # with an entry for every name
    ignored: int  # files that are neither images nor annotations


def open_folder(path: Path, classes: int | None = None, task: str | None = None) -> Album:
    """The images in a folder, at any depth. Raises as `_album` does."""
    files = {file.relative_to(path).as_posix(): file.stat().st_size for file in path.rglob("*") if file.is_file()}
    return _album(files, lambda name: (path / name).read_bytes(), classes, task)


def open_archive(path: Path, classes: int | None = None, task: str | None = None) -> Album:
    """The images in a zip, read from it when they are asked for. Raises as `_album` does, and what `open_zip` does."""
    with open_zip(path, UnreadableData) as (_, entries):
        sizes = {entry.filename: entry.file_size for entry in entries}
    archive = ZipFile(path)

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except BROKEN_ENTRY as error:
            raise UnreadableData(f"The archive is damaged at {name!r}: {error}.") from error

    return _album(sizes, read, classes, task)


def _album(sizes: dict[str, int], read: Callable[[str], bytes], classes: int | None, task: str | None) -> Album:
    """Raises UnreadableData without images or with enormous files, LabelMismatch where annotations are broken or do not fit."""
    if len(sizes) > MAX_ENTRIES:
        raise UnreadableData(f"The folder holds {len(sizes)} files; the limit is {MAX_ENTRIES}.")
    pictures = sorted(name for name in sizes if PurePosixPath(name).suffix.lower() in SUFFIXES)
    if not pictures:
        raise _no_pictures(sizes)
    for name in pictures:
        if sizes[name] > MAX_FILE_BYTES:
            raise UnreadableData(f"The file {name!r} has {sizes[name]} bytes; the limit is {MAX_FILE_BYTES}.")
    labels = labels_among(pictures)
    images = tuple(name for name in pictures if name not in labels)
    others = {name: size for name, size in sizes.items() if name not in set(pictures)}
    annotation = find_annotation(FileListing(images, labels, others, read), classes, task)
    if annotation is None:
        return Album(images, read, None, len(sizes) - len(images))
    left = len(sizes) - len(annotation.entries) - annotation.files
    return Album(tuple(annotation.entries), read, annotation, max(0, left))


def _no_pictures(names: Collection[str]) -> UnreadableData:
    found = f"{next(iter(names))!r} is no picture." if len(names) == 1 else f"There is no picture in it: {_kinds(names)}."
    return UnreadableData(
        found if names else "The folder is empty.",
        hint=f"Give pictures ({', '.join(sorted(SUFFIXES))}), a folder or zip of them, or arrays as .npz.",
    )


def _kinds(names: Collection[str]) -> str:
    suffixes = sorted({PurePosixPath(name).suffix or "nameless" for name in names})
    return f"{len(names)} files ({', '.join(suffixes[:5])})"


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
