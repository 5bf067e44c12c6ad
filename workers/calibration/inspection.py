"""What is in a dataset, found out at its upload: how many samples, of which sizes and classes, and what is wrong with them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.archives import open_zip
from workers.calibration.arrays import IMAGES, LABELS, length, not_samples, open_arrays
from workers.calibration.formats import Annotation, RawBoxes
from workers.calibration.formats.class_folders import unnamed
from workers.calibration.formats.text_lines import UNKNOWN
from workers.calibration.image_decoding import MODES, decode, fit
from workers.calibration.image_folders import Album, open_archive, open_folder
from workers.calibration.targets import kind_of
from workers.errors import NonFiniteData, UnreadableData
from workers.recipe import Preprocessing

Found = dict[str, Any]

THUMBNAILS = 32
SIDE = 96  # pixels of a thumbnail
MOST_LISTED = 1000  # classes and sizes
RIM = 0.01  # of a side, by which a box may leave its picture
RARE = 5  # samples of a class below which its accuracy says nothing


def inspect_dataset(path: Path) -> tuple[Found, NDArray[np.uint8] | None]:
    """What the samples in `path` are, in JSON values, and some of them as pictures (n, SIDE, SIDE, 3), if they are any.

    Every image is decoded and every number looked at. Raises a Refusal that names the sample that cannot be used.
    """
    if path.is_dir():
        return _album(open_folder(path))
    if not path.is_file() or not is_zipfile(path):
        raise not_samples(path)
    with open_zip(path, UnreadableData) as (_, entries):
        suffixes = {PurePosixPath(entry.filename).suffix for entry in entries}
    return _arrays(path) if suffixes == {".npy"} else _album(open_archive(path))


def _album(album: Album) -> tuple[Found, NDArray[np.uint8]]:
    sizes: Counter[str] = Counter()
    seen: dict[bytes, str] = {}
    shapes: dict[str, tuple[int, int]] = {}
    twice, thumbnails = [], []
    shown = set(np.linspace(0, len(album.names) - 1, min(THUMBNAILS, len(album.names))).astype(int).tolist())
    for number, name in enumerate(album.names):
        content = album.read(name)
        picture = decode(BytesIO(content), name, 3)
        sizes[f"{picture.height}x{picture.width}"] += 1
        shapes[name] = picture.size
        if (digest := sha256(content).digest()) in seen:
            twice.append(f"{name} is {seen[digest]}")
        seen.setdefault(digest, name)
        if number in shown:
            thumbnails.append(fit(picture, name, SIDE, SIDE, Preprocessing(fit="cover")))
    classes = _histogram(album.annotation) if album.annotation else Counter()
    found = {
        "samples": len(album.names),
        "form": "images",
        "sizes": dict(sizes.most_common(MOST_LISTED)),
        "labels": album.annotation.kind.value if album.annotation else None,
        "labels_from": album.annotation.what if album.annotation else None,
        "classes": _named(classes, album.annotation.class_names if album.annotation else ()),
        "problems": [
            *_problems(classes, twice),
            *_annotation_problems(album.annotation, classes, shapes),
            *_left_out(album.ignored),
            *([folders] if album.annotation is None and (folders := unnamed(album.names)) else []),
        ],
        "thumbnails": len(thumbnails),
    }
    return found, np.stack(thumbnails)


def _arrays(path: Path) -> tuple[Found, NDArray[np.uint8] | None]:
    arrays = open_arrays(path)
    labels = arrays.pop(LABELS, None)
    if not arrays:
        raise UnreadableData("The file holds labels and no samples.")
    count = length(arrays if labels is None else arrays | {LABELS: labels})
    kind = None if labels is None else _kind(labels)
    classes: Counter[int] = (
        Counter(labels.reshape(-1).tolist()) if labels is not None and kind is TargetKind.CLASS else Counter()
    )
    pictures = _thumbnails(arrays.get(IMAGES), count)
    found = {
        "samples": count,
        "form": "arrays",
        "arrays": [_array(name, array) for name, array in arrays.items()],
        "labels": kind.value if kind else None,
        "labels_from": LABELS if kind else None,
        "classes": _named(classes, ()),
        "problems": [*_problems(classes, ()), *_numbering(classes)],
        "thumbnails": 0 if pictures is None else len(pictures),
    }
    return found, pictures


def _array(name: str, array: NDArray[Any]) -> Found:
    """Shape, type and range. Raises NonFiniteData naming the sample that is not finite."""
    least, most = [], []
    for number, row in enumerate(array):
        if array.dtype.kind == "f" and not np.isfinite(row).all():
            raise NonFiniteData(f"Sample {number} of {name!r} holds NaN or infinity.")
        if np.size(row):
            least.append(float(np.min(row)))
            most.append(float(np.max(row)))
    low, high = min(least, default=None), max(most, default=None)
    return {"name": name, "shape": list(array.shape[1:]), "type": str(array.dtype), "least": low, "most": high}


def _kind(labels: NDArray[Any]) -> TargetKind:
    flat = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1)
    return TargetKind.CLASS if flat and labels.dtype.kind in "iub" else kind_of(labels)


def _thumbnails(array: NDArray[Any] | None, count: int) -> NDArray[np.uint8] | None:
    if array is None or array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in MODES:
        return None
    return np.asarray(array[np.linspace(0, count - 1, min(THUMBNAILS, count)).astype(int)])


def _histogram(annotation: Annotation) -> Counter[int]:
    """Samples of every class, or objects."""
    if annotation.kind is TargetKind.CLASS:
        return Counter(int(label) for label in annotation.entries.values())
    if annotation.kind is TargetKind.BOXES:
        return Counter(label for boxes in annotation.entries.values() for label in boxes.labels.tolist())
    return Counter()


def _named(classes: Counter[int], names: tuple[str, ...]) -> dict[str, int]:
    return {names[label] if label < len(names) else str(label): n for label, n in sorted(classes.items())[:MOST_LISTED]}


def _problems(classes: Counter[int], twice: Iterable[str]) -> Iterable[str]:
    """What does not keep the dataset from being used, and is worth knowing."""
    listed = list(twice)
    if listed:
        yield f"{len(listed)} samples are there twice, the first of them: {listed[0]}."
    rare = [label for label, n in classes.items() if n < RARE]
    if rare:
        yield f"{len(rare)} of {len(classes)} classes have fewer than {RARE} samples."


def _annotation_problems(
    annotation: Annotation | None, classes: Counter[int], shapes: Mapping[str, tuple[int, int]]
) -> Iterable[str]:
    """What looks wrong with labels that can be read; `shapes` are width and height by the name of the image."""
    if annotation is None:
        return
    empty = [name for label, name in enumerate(annotation.class_names) if name and label not in classes] if classes else []
    if empty:
        yield f"{len(empty)} of {len(annotation.class_names)} classes have no sample: {', '.join(empty[:5])}."
    if annotation.kind is TargetKind.CLASS and not annotation.class_names:
        yield from _numbering(classes)
    if annotation.kind is TargetKind.TEXT:
        strange = sum(int((line == UNKNOWN).sum()) for line in annotation.entries.values())
        if strange:
            yield f"{strange} characters of the labels are not in the alphabet."
    if annotation.kind is TargetKind.BOXES:
        bare = [name for name, boxes in annotation.entries.items() if not len(boxes.labels)]
        if bare:
            yield f"{len(bare)} images have no objects, the first of them {bare[0]}."
        beyond = [name for name, boxes in annotation.entries.items() if _beyond(boxes, shapes[name])]
        if beyond:
            yield f"In {len(beyond)} images objects reach beyond the picture or have no size, first in {beyond[0]}."


def _beyond(boxes: RawBoxes, size: tuple[int, int]) -> bool:
    """Whether boxes leave a picture of this width and height by more than 1 % of it, or are empty."""
    shares = boxes.corners if boxes.shares else boxes.corners / np.array(size * 2, np.float32)
    return bool(((shares < -RIM) | (shares > 1 + RIM)).any() or (shares[:, 2:] <= shares[:, :2]).any())


def _numbering(classes: Counter[int]) -> Iterable[str]:
    if len(classes) > 1 and min(classes) == 1 and max(classes) == len(classes):
        yield "No sample has class 0: where the model counts its classes from 0, the labels are one too high."


def _left_out(files: int) -> Iterable[str]:
    if files:
        yield f"{files} files are neither images nor labels of them."
