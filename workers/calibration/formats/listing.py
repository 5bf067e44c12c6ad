"""What a dataset of files holds, and what a reader of a format makes of it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.errors import LabelMismatch

MAX_TEXT_BYTES = 512 * 2**20  # of a file of annotations
LARGEST = 2**24  # pixels from the corner of a picture: float32 holds all up to there
ROLES = frozenset("images image img imgs jpegimages labels label annotations annotation xml txt".split())


@dataclass(frozen=True, slots=True)
class FileListing:
    """The files of a dataset."""

    images: tuple[str, ...]  # in the order of their names
    labels: frozenset[str]  # pictures that label others
    others: Mapping[str, int]  # bytes of the files that are no images
    read: Callable[[str], bytes]

    def text(self, name: str) -> str:
        """A file of annotations. Raises LabelMismatch where it is enormous."""
        if self.others[name] > MAX_TEXT_BYTES:
            raise LabelMismatch(f"The file {name!r} has {self.others[name]} bytes; the limit is {MAX_TEXT_BYTES}.")
        return self.read(name).decode("utf-8-sig", errors="replace")

    def named(self, *names: str) -> str | None:
        """The file of one of these names that lies highest."""
        return next((name for name in sorted(self.others, key=len) if PurePosixPath(name).name in names), None)

    def ending(self, suffix: str) -> list[str]:
        """The files that are no images and end so."""
        return sorted(name for name in self.others if name.lower().endswith(suffix))


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What images are labelled with: one entry for each that takes part, in the order of the samples."""

    kind: TargetKind
    entries: Mapping[str, Any]  # by the name of the image; of the form that `kind` says, or what leads to it
    class_names: tuple[str, ...] = ()
    files: int = 1  # that it was read from
    what: str = ""  # format, for the report
    class_ids: tuple[int, ...] = ()  # of the format's own, by class index


@dataclass(frozen=True, slots=True, eq=False)
class RawBoxes:
    """The objects of one picture as they are annotated."""

    corners: NDArray[np.float32]  # (k, 4) left, top, right, bottom, in pixels or in shares of the sides
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    shares: bool = False

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[float], int, bool]], *, shares: bool = False) -> "RawBoxes":
        """From corners, class and crowd of every object."""
        corners = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
        return cls(corners, np.array([row[1] for row in rows], np.int64), np.array([row[2] for row in rows], bool), shares)


def stem(name: str) -> str:
    """images/train/0001.jpg -> 0001."""
    return PurePosixPath(name).stem


def labels_beside(images: Sequence[str], labels: Iterable[str], roles: frozenset[str] = ROLES) -> dict[str, str]:
    """For every image that has one, the label that is called as it is: images/val/0001.jpg -> labels/val/0001.txt.

    Folders in `roles` tell what a file is, and not which. A label from the same folder comes first; the first of the others
    is taken where it is not that of another image.
    """
    own = {_place(name, roles) for name in images}
    near: dict[tuple[str, ...], str] = {}
    far: dict[str, str] = {}
    for label in labels:
        place = _place(label, roles)
        near.setdefault(place, label)
        if place not in own:
            far.setdefault(stem(label), label)
    found = {name: near.get(_place(name, roles)) or far.get(stem(name)) for name in images}
    return {name: label for name, label in found.items() if label is not None}


def _place(name: str, roles: frozenset[str]) -> tuple[str, ...]:
    return *(folder for folder in map(str.lower, PurePosixPath(name).parts[:-1]) if folder not in roles), stem(name)


def coordinate(value: Any) -> float:
    """A number of pixels, or a share of a side. Raises ValueError where it is none that a picture has."""
    number = float(value)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise ValueError(f"{str(value)[:20]} is no coordinate")
    return number


def class_list(listing: FileListing) -> tuple[str, ...]:
    """The names in classes.txt, by index: one on each line."""
    name = listing.named("classes.txt", "labels.txt", "obj.names", "synset.txt")
    return tuple(line.strip() for line in listing.text(name).splitlines() if line.strip()) if name else ()
