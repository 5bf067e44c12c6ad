"""Lines of text: a line of writing for every picture, and a file of the characters that the model tells apart."""

import csv
from pathlib import PurePosixPath

import numpy as np

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing
from workers.calibration.labels import assign
from workers.errors import LabelMismatch

TABLE, FILE, TEXT = "labels.csv", "filename", "text"
TABBED = ("rec_gt.txt", "rec_gt_test.txt", "gt.txt", "label.txt", "labels.txt")  # picture, tab, text: PaddleOCR and its like
ALPHABETS = ("alphabet.txt", "dict.txt", "keys.txt", "characters.txt", "vocab.txt", "ppocr_keys_v1.txt", "en_dict.txt")
BLANK = 0  # the class before the first character
UNKNOWN = 2**31 - 1  # the class of a character that the model does not know: never read right


def find(listing: FileListing) -> Annotation | None:
    """By the column `text` of labels.csv, or by a table whose columns a tab parts. Raises LabelMismatch without an alphabet."""
    name, texts = _table(listing) or _tabbed(listing) or ("", {})
    if not texts:
        return None
    file, alphabet = _alphabet(listing)
    entries = {
        image: np.array([_class(mark, alphabet) for mark in text], np.int64)
        for image, text in assign(listing.images, texts).items()
    }
    return Annotation(TargetKind.TEXT, entries, files=2, what=f"{name} with {file}")


def _table(listing: FileListing) -> tuple[str, dict[str, str]] | None:
    file = listing.named(TABLE)
    rows = csv.DictReader(listing.text(file).splitlines(), skipinitialspace=True) if file else None
    try:
        if rows is None or not {FILE, TEXT} <= set(rows.fieldnames or ()):
            return None
        return TABLE, {row[FILE]: row[TEXT] or "" for row in rows}
    except csv.Error as error:
        raise LabelMismatch(f"{TABLE} cannot be read: {error}.") from error


def _tabbed(listing: FileListing) -> tuple[str, dict[str, str]] | None:
    file = listing.named(*TABBED)
    lines = [line for line in listing.text(file).splitlines() if line.strip()] if file else []
    if file is None or not lines or not all("\t" in line for line in lines):
        return None
    parted = (line.partition("\t") for line in lines)
    return PurePosixPath(file).name, {image.strip(): text for image, _, text in parted}


def _alphabet(listing: FileListing) -> tuple[str, dict[str, int]]:
    """The class of every character: one on each line, or all of them in one line; the blank is class 0, before the first."""
    file = listing.named(*ALPHABETS)
    if file is None:
        raise LabelMismatch(
            "The labels are lines of text, and nothing says which characters the model tells apart.",
            hint="Put alphabet.txt beside them: a character a line, in the order of the model's classes after the blank.",
        )
    lines = [line for line in listing.text(file).replace("\r", "").split("\n") if line]
    if not lines:
        raise LabelMismatch(f"{file!r} holds no characters.")
    marks = lines if len(lines) > 1 else list(lines[0])
    wrong = next((mark for mark in marks if len(mark) != 1), None)
    if wrong is not None:
        raise LabelMismatch(f"{file!r} holds {wrong[:20]!r} where it should hold one character a line.")
    return PurePosixPath(file).name, {mark: number for number, mark in reversed(list(enumerate(marks, BLANK + 1)))}


def _class(mark: str, alphabet: dict[str, int]) -> int:
    """A space that the alphabet lacks comes after its last character, as PaddleOCR has it."""
    return alphabet.get(mark, max(alphabet.values()) + 1 if mark == " " else UNKNOWN)
