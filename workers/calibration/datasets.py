"""Samples from a dataset: an .npz, a folder of images or a zip of images."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import is_zipfile

import numpy as np

from workers.archives import open_zip
from workers.calibration.arrays import LABELS, image_rows, is_images, length, match_arrays, open_arrays, value_rows
from workers.calibration.image_folders import Album, open_archive, open_folder, picture_rows
from workers.calibration.labels import check_labels, classes_of
from workers.calibration.preprocessing import ImageInput, image_input, unused
from workers.calibration.samples import Rows, Samples, held
from workers.errors import DataMismatch, UnreadableData
from workers.ir.reading.importer import Imported
from workers.recipe import Preprocessing

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Progress that nobody follows."""


def from_dataset(
    path: Path, model: Imported, declared: Preprocessing, count: int | None = None, progress: Progress = silent
) -> Samples:
    """The samples in `path`, or its first `count`.

    Raises a Refusal for whatever cannot be read, or does not fit the inputs or classes of the model.
    """
    if path.is_dir():
        return _from_album(open_folder(path), model, declared, count, progress)
    if not path.is_file() or not is_zipfile(path):
        raise UnreadableData(f"{path.name!r} is no .npz, no zip of images and no folder of images.")
    with open_zip(path, UnreadableData) as (_, entries):
        suffixes = {PurePosixPath(entry.filename).suffix for entry in entries}
    if suffixes == {".npy"}:
        return _from_arrays(path, model, declared, count)
    return _from_album(open_archive(path), model, declared, count, progress)


def _from_album(album: Album, model: Imported, declared: Preprocessing, count: int | None, progress: Progress) -> Samples:
    image, notes = _only_image(model, declared)
    taken = len(album.names) if count is None else min(count, len(album.names))
    labels = None if album.labels is None else check_labels(album.labels, len(album.names), classes_of(model.model))[:taken]
    pixels = held(picture_rows(album, image, declared), taken, image.picture, progress)
    if album.ignored:
        notes += (f"{album.ignored} files of the dataset are no images and were left out.",)
    if declared.resize is None and declared.crop is None:
        notes += (f"Images are scaled to cover {image.height}x{image.width} and cut from the centre.",)
    return Samples(
        source="dataset",
        feeds={image.name: prepared(pixels, image)},
        numbers=np.arange(taken),
        stacked=stacked(model),
        labels=labels,
        pixels=pixels,
        notes=notes,
        applied={image.name: image.record() | {"resize": declared.resize, "crop": declared.crop}},
    )


def _only_image(model: Imported, declared: Preprocessing) -> tuple[ImageInput, tuple[str, ...]]:
    found = image_input(model.inputs[0], declared)
    if len(model.inputs) > 1 or found is None:
        names = ", ".join(f"{entry.name} {list(entry.shape)}" for entry in model.inputs)
        raise DataMismatch(f"The model takes {names}, not one image.", hint="Give an .npz with one array for each input.")
    return found


def _from_arrays(path: Path, model: Imported, declared: Preprocessing, count: int | None) -> Samples:
    arrays = open_arrays(path)
    given = arrays.pop(LABELS, None) if all(entry.name != LABELS for entry in model.inputs) else None
    matched = match_arrays(arrays, model.inputs)
    total = length(matched)
    taken = total if count is None else min(count, total)
    feeds: dict[str, Rows] = {}
    applied: dict[str, Any] = {}
    pixels: Rows | None = None
    notes: tuple[str, ...] = ()
    for entry in model.inputs:
        array, found = matched[entry.name], image_input(entry, declared)
        if found is None or not is_images(array, entry):
            feeds[entry.name] = value_rows(array, entry, taken)
            applied[entry.name] = {"as_given": str(array.dtype)}
            continue
        image, said = found
        rows = image_rows(array, image, declared)
        feeds[entry.name], pixels, notes = prepared(rows, image), pixels or rows, notes + said
        applied[entry.name] = image.record() | {"resize": declared.resize, "crop": declared.crop}
    extra = [name for name, array in arrays.items() if not any(array is used for used in matched.values())]
    if extra:
        notes += (f"The arrays {', '.join(extra)} belong to no input and were left out.",)
    labels = None if given is None else check_labels(given, total, classes_of(model.model))[:taken]
    return Samples(
        source="dataset",
        feeds=feeds,
        numbers=np.arange(taken),
        stacked=stacked(model),
        labels=labels,
        pixels=pixels,
        notes=notes + unused(declared, pixels is not None),
        applied=applied,
    )


def prepared(pixels: Rows, image: ImageInput) -> Rows:
    """The input that pixels become."""
    return lambda numbers: image.prepare(pixels(numbers))


def stacked(model: Imported) -> bool:
    """Whether the model takes batches."""
    return all(entry.batch_axis == 0 for entry in model.inputs)
