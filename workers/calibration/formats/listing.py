"""What a dataset of files holds, and what a reader of a format makes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.annotations import TargetKind
from workers.errors import LabelMismatch

MAX_TEXT_BYTES = 512 * 2**20  # of a file of annotations


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


def by_stem(names: Sequence[str]) -> dict[str, str]:
    """Names by what they are called without folder and suffix; the first of several."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(stem(name), name)
    return found


def class_list(listing: FileListing) -> tuple[str, ...]:
    """The names in classes.txt, by index: one on each line."""
    name = listing.named("classes.txt", "labels.txt", "obj.names", "synset.txt")
    return tuple(line.strip() for line in listing.text(name).splitlines() if line.strip()) if name else ()
