"""YOLO: for every image a text file of the same name, a line an object: class, centre, size, all in shares of the sides."""

import re

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, by_stem, class_list, stem
from workers.errors import LabelMismatch

NAME = re.compile(r"^\s*(?:-|\d+\s*:)\s*(.+?)\s*$")  # an entry of `names` in data.yaml
LISTS = frozenset({"classes.txt", "labels.txt", "synset.txt", "train.txt", "val.txt", "test.txt"})


def find(listing: FileListing) -> Annotation | None:
    """The text files that are called as images are; those in a folder `labels` before others."""
    texts = [name for name in listing.ending(".txt") if name.rpartition("/")[2] not in LISTS]
    in_folder = [name for name in texts if "labels" in name.split("/")[:-1]]
    files = by_stem(in_folder or texts)
    known = [name for name in listing.images if stem(name) in files]
    if not known or not in_folder and len(known) < len(files):
        return None
    entries = {name: _boxes(files[stem(name)], listing) for name in known}
    return Annotation(TargetKind.BOXES, entries, class_list(listing) or _names(listing), len(known), "YOLO")


def _boxes(file: str, listing: FileListing) -> RawBoxes:
    """Lines of five numbers are boxes; longer ones are outlines, whose box is taken."""
    rows = []
    for line in listing.text(file).splitlines():
        if line.strip():
            try:
                label, *numbers = line.split()
                rows.append((_corners([float(number) for number in numbers]), int(label), False))
            except ValueError as error:
                raise LabelMismatch(f"The file {file!r} holds the line {line[:80]!r}, not class, centre and size.") from error
    return RawBoxes.of(rows, shares=True)


def _corners(numbers: list[float]) -> tuple[float, float, float, float]:
    if len(numbers) == 4:
        x, y, width, height = numbers
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    raise ValueError(f"{len(numbers)} numbers")


def _names(listing: FileListing) -> tuple[str, ...]:
    """`names` of data.yaml, in either of the two usual forms of a list."""
    file = listing.named("data.yaml", "dataset.yaml", "data.yml")
    lines = listing.text(file).splitlines() if file else []
    start = next((number for number, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return ()
    if "[" in lines[start]:
        return tuple(part.strip(" '\"") for part in lines[start].partition("[")[2].partition("]")[0].split(","))
    matches = [NAME.match(line) for line in lines[start + 1 :] if line.strip()]
    return tuple(match[1].strip("'\"") for match in matches if match)
