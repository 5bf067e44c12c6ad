"""Samples from a dataset: an .npz, a folder of images or a zip of images."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from workers.annotations import TargetKind, Targets
from workers.archives import open_zip
from workers.calibration.arrays import LABELS, image_rows, is_images, length, match_arrays, not_samples, open_arrays, value_rows
from workers.calibration.draw import draw_strata
from workers.calibration.formats.class_folders import unnamed
from workers.calibration.image_folders import Album, open_archive, open_folder, picture_rows
from workers.calibration.labels import Labels, check_labels, classes_of
from workers.calibration.preprocessing import ImageInput, alternatives, image_input, unused
from workers.calibration.samples import Numbers, Rows, Samples, held
from workers.calibration.synthetic import with_states
from workers.calibration.targets import targets_of_album, targets_of_array
from workers.errors import DataMismatch, UnreadableData
from workers.ir.reading.importer import Imported
from workers.recipe import Preprocessing

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples of a dataset are taken, and as what."""

    count: int | None = None  # all where it is None
    rng: np.random.Generator | None = None  # draws them; the first ones are taken without it
    task: str | None = None  # tells which of several kinds of labels are meant
    beyond: Numbers | None = None  # samples that are not to be taken: any others are, whatever their strata

    def among(self, strata: Sequence[Hashable]) -> Numbers:
        """Their numbers, ascending."""
        if self.beyond is not None:
            return self._others(np.setdiff1d(np.arange(len(strata)), self.beyond))
        wanted = len(strata) if self.count is None else min(self.count, len(strata))
        return np.arange(wanted) if self.rng is None else draw_strata(strata, wanted, self.rng)

    def _others(self, left: Numbers) -> Numbers:
        if self.count is None or len(left) <= self.count or self.rng is None:
            return left[: self.count]
        return np.sort(self.rng.choice(left, self.count, replace=False))


ALL = Choice()


def from_dataset(
    path: Path, model: Imported, declared: Preprocessing, choice: Choice = ALL, progress: Progress = silent
) -> Samples:
    """The samples in `path` that `choice` takes.

    Raises a Refusal for whatever cannot be read, or does not fit the inputs or classes of the model.
    """
    return with_states(_read(path, model, declared, choice, progress), model)


def _read(path: Path, model: Imported, declared: Preprocessing, choice: Choice, progress: Progress) -> Samples:
    classes = classes_of(model.model)
    if path.is_dir():
        return _from_album(open_folder(path, classes, choice.task), model, declared, choice, progress)
    if not path.is_file() or not is_zipfile(path):
        raise not_samples(path)
    with open_zip(path, UnreadableData) as (_, entries):
        suffixes = {PurePosixPath(entry.filename).suffix for entry in entries}
    if suffixes == {".npy"}:
        return _from_arrays(path, model, declared, choice)
    return _from_album(open_archive(path, classes, choice.task), model, declared, choice, progress)


def _from_album(album: Album, model: Imported, declared: Preprocessing, choice: Choice, progress: Progress) -> Samples:
    annotation = album.annotation
    framed = choice.task in ("detection", "text_lines") or (
        annotation and annotation.kind in (TargetKind.BOXES, TargetKind.TEXT)
    )
    if declared.fit is None and framed:
        declared = declared.model_copy(update={"fit": "letterbox"})
    image, notes = _only_image(model, declared)
    labels = targets = None
    strata: Sequence[Hashable] = [PurePosixPath(name).parent for name in album.names]
    if annotation and annotation.kind is TargetKind.CLASS:
        given = np.array([annotation.entries[name] for name in album.names])
        labels = check_labels(given, len(album.names), classes_of(model.model))
        strata = labels.tolist()
    elif annotation:
        targets = targets_of_album(album, annotation, image, declared)
    taken = choice.among(strata)
    pixels = held(picture_rows(album, image, declared), taken, image.picture, progress)
    if annotation:
        notes += (f"Labels come from {annotation.what}.",)
    elif folders := unnamed(album.names):
        notes += (folders,)
    if album.ignored:
        notes += (f"{album.ignored} files of the dataset are neither images nor labels of them, and were left out.",)
    return Samples(
        source="dataset",
        feeds={image.name: prepared(pixels, image)},
        numbers=taken,
        stacked=takes_batches(model),
        labels=None if labels is None else labels[taken],
        targets=targets,
        class_names=annotation.class_names if annotation else (),
        class_ids=annotation.class_ids if annotation else (),
        pixels=pixels,
        other_feeds={what: {image.name: prepared(pixels, other)} for what, other in alternatives(image).items()},
        digest=lambda number: sha256(album.read(album.names[number])).digest(),
        title=lambda number: album.names[number],
        notes=notes + _scaling(image, declared),
        applied={image.name: image.record() | {"resize": declared.resize, "crop": declared.crop, "fit": declared.fit}},
    )


def _scaling(image: ImageInput, declared: Preprocessing) -> tuple[str, ...]:
    """How pictures were brought to the size of the input, where nothing says so."""
    if declared.resize is not None or declared.crop is not None:
        return ()
    how = {
        "stretch": "stretched to {}x{}",
        "letterbox": "scaled to fit into {}x{} and framed in grey",
        "cover": "scaled to cover {}x{} and cut from the centre",
    }[declared.fit or "cover"]
    return (f"Images are {how.format(image.height, image.width)}.",)


def _only_image(model: Imported, declared: Preprocessing) -> tuple[ImageInput, tuple[str, ...]]:
    found = image_input(model.inputs[0], declared)
    if len(model.inputs) > 1 or found is None:
        names = ", ".join(f"{entry.name} {list(entry.shape)}" for entry in model.inputs)
        raise DataMismatch(f"The model takes {names}, not one image.", hint="Give an .npz with one array for each input.")
    return found


def _from_arrays(path: Path, model: Imported, declared: Preprocessing, choice: Choice) -> Samples:
    arrays = open_arrays(path)
    given = arrays.pop(LABELS, None) if all(entry.name != LABELS for entry in model.inputs) else None
    matched = match_arrays(arrays, model.inputs)
    total = length(matched)
    labels, targets = _answers(given, total, model)
    taken = choice.among([0] * total if labels is None else labels.tolist())
    feeds: dict[str, Rows] = {}
    others: dict[str, dict[str, Rows]] = {}
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
        others |= {what: {entry.name: prepared(rows, other)} for what, other in alternatives(image).items()}
        applied[entry.name] = image.record() | {"resize": declared.resize, "crop": declared.crop}
    extra = [name for name, array in arrays.items() if not any(array is used for used in matched.values())]
    if extra:
        notes += (f"The arrays {', '.join(extra)} belong to no input and were left out.",)
    used = list(matched.values())
    return Samples(
        source="dataset",
        feeds=feeds,
        numbers=taken,
        stacked=takes_batches(model),
        labels=None if labels is None else labels[taken],
        targets=targets,
        pixels=pixels,
        other_feeds={what: feeds | other for what, other in others.items()},
        digest=lambda number: sha256(b"".join(np.ascontiguousarray(array[number]).tobytes() for array in used)).digest(),
        title=lambda number: f"sample {number}",
        notes=notes + unused(declared, pixels is not None),
        applied=applied,
    )


def _answers(given: NDArray[Any] | None, total: int, model: Imported) -> tuple[Labels | None, Targets | None]:
    """The class indices that the array of answers holds, or other answers."""
    if given is not None and given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given is None:
        return None, None
    if given.ndim == 1 and given.dtype.kind in "iub":
        return check_labels(given, total, classes_of(model.model)), None
    return None, targets_of_array(given, total)


def prepared(pixels: Rows, image: ImageInput) -> Rows:
    """The input that pixels become."""
    return lambda numbers: image.prepare(pixels(numbers))


def takes_batches(model: Imported) -> bool:
    """Whether the model takes batches."""
    return all(entry.batch_axis == 0 for entry in model.inputs)
