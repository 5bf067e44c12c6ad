"""YOLO: for every image a text file of the same name, a line an object: class, centre, size, all in shares of the sides."""

import re
from itertools import takewhile

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, class_list, coordinate, labels_beside
from workers.errors import LabelMismatch

NAME = re.compile(r"^\s*(?:-|\d+\s*:)\s*(.+?)\s*$")  # an entry of `names` in data.yaml
CLASSES = range(2**31)
LISTS = frozenset({"classes.txt", "labels.txt", "synset.txt", "train.txt", "val.txt", "test.txt"})


def find(listing: FileListing) -> Annotation | None:
    """The text files that are called as images are; those in a folder `labels` before others."""
    texts = [name for name in listing.ending(".txt") if name.rpartition("/")[2] not in LISTS]
    in_folder = [name for name in texts if "labels" in name.split("/")[:-1]]
    files = labels_beside(listing.images, in_folder or texts)
    used = set(files.values())
    if not files or not in_folder and len(used) < len(texts):
        return None
    entries = {name: _boxes(file, listing) for name, file in files.items()}
    return Annotation(TargetKind.BOXES, entries, class_list(listing) or _names(listing), len(used), "YOLO")


def _boxes(file: str, listing: FileListing) -> RawBoxes:
    """Lines of five numbers are boxes; longer ones are outlines, whose box is taken."""
    rows = []
    for line in listing.text(file).splitlines():
        if line.strip():
            try:
                label, *numbers = line.split()
                rows.append((_corners([coordinate(number) for number in numbers]), CLASSES.index(int(label)), False))
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
    block = takewhile(lambda line: not line.strip() or line[0] in " \t-#", lines[start + 1 :])
    return tuple(match[1].strip("'\"") for match in map(NAME.match, block) if match)
