"""labels.csv: a row an image, with its class by index or by name, or with numbers."""

import csv
import math

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, class_list
from workers.calibration.formats.voc import index_of
from workers.calibration.labels import assign
from workers.errors import LabelMismatch

NAME = "labels.csv"
FILE, INDEX, CLASS = "filename", "class_index", "class"


def find(listing: FileListing) -> Annotation | None:
    """By the columns: `class_index`, `class`, or else numbers in all the others. Raises LabelMismatch for another table."""
    file = listing.named(NAME)
    if file is None:
        return None
    rows = _rows(listing.text(file))
    columns = [column for column in rows[0] if column != FILE]
    try:
        if INDEX in columns:
            found = {name: int(row[INDEX]) for name, row in _by_name(rows).items()}
            return Annotation(TargetKind.CLASS, assign(listing.images, found), class_list(listing), 1, NAME)
        if CLASS in columns:
            names = class_list(listing) or tuple(sorted({_class(row) for row in rows}))
            named = {name: index_of(_class(row), names, name) for name, row in _by_name(rows).items()}
            return Annotation(TargetKind.CLASS, assign(listing.images, named), names, 1, NAME)
        values = {name: [_number(row[column]) for column in columns] for name, row in _by_name(rows).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise LabelMismatch(
            f"labels.csv is not a table of {FILE} and {INDEX}: {error}.",
            hint=f"Start it with the line {FILE},{INDEX} (or {FILE},{CLASS}, or {FILE} and columns of numbers).",
        ) from error
    if not columns:
        raise LabelMismatch(f"labels.csv has no column beside {FILE}.")
    return Annotation(TargetKind.VALUES, assign(listing.images, values), (), 1, NAME)


def _class(row: dict[str, str]) -> str:
    """The name of a class; a row that ends before it has None."""
    if not row[CLASS]:
        raise ValueError(f"{row[FILE]!r} has no {CLASS}")
    return row[CLASS]


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number to compare with")
    return number


def _rows(text: str) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(text.splitlines(), strict=True, skipinitialspace=True)) or [{}]
    except csv.Error as error:
        raise LabelMismatch(f"labels.csv cannot be read: {error}.") from error


def _by_name(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    named = {row[FILE]: row for row in rows}
    if len(named) < len(rows):
        raise LabelMismatch("labels.csv names a file twice.")
    return named
