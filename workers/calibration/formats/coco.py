"""COCO: one JSON file with images, annotations and categories."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, coordinate, labels_beside
from workers.errors import LabelMismatch


def find(listing: FileListing) -> Annotation | None:
    """The first JSON file of that form that tells of images which are there; classes are counted in the order of their ids.

    Captions, which COCO has as well, are passed over. Raises LabelMismatch for broken files, and for images of which none is
    there.
    """
    missing = []
    for name, document in _documents(listing):
        found, told = _annotation(name, document, listing)
        if found.entries:
            return found
        missing.append(f"None of the {told} images that {name!r} tells of is there.")
    if missing:
        raise LabelMismatch(missing[0])
    return None


def _documents(listing: FileListing) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in listing.ending(".json"):
        try:
            document = json.loads(listing.text(name))
        except (ValueError, RecursionError) as error:
            raise LabelMismatch(f"The file {name!r} is not JSON: {error}.") from error
        if isinstance(document, dict) and {"images", "annotations"} <= document.keys() and not _has_captions(document):
            yield name, document


def _has_captions(document: dict[str, Any]) -> bool:
    entries = document["annotations"]
    return isinstance(entries, list) and bool(entries) and isinstance(entries[0], dict) and "caption" in entries[0]


def _annotation(name: str, document: dict[str, Any], listing: FileListing) -> tuple[Annotation, int]:
    """What one file says of the images that are there, and of how many it tells."""
    try:
        categories = sorted(document.get("categories", ()), key=lambda category: int(category["id"]))
        index = {category["id"]: number for number, category in enumerate(categories)}
        rows: dict[Any, list[tuple[tuple[float, ...], int, bool]]] = {image["id"]: [] for image in document["images"]}
        for entry in document["annotations"]:
            left, top, width, height = map(coordinate, entry["bbox"])
            corners = (left, top, left + width, top + height)
            rows[entry["image_id"]].append((corners, index[entry["category_id"]], bool(entry.get("iscrowd", 0))))
        files = {
            str(PurePosixPath(name).parent / str(image["file_name"]).replace("\\", "/")): image["id"]
            for image in document["images"]
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise LabelMismatch(f"The file {name!r} is not COCO's: {type(error).__name__} {error}.") from error
    images = {file: image for image, file in reversed(labels_beside(listing.images, files).items())}
    known = {images[file]: RawBoxes.of(rows[key]) for file, key in files.items() if file in images}
    names = tuple(str(category.get("name", "")) for category in categories)
    return Annotation(TargetKind.BOXES, known, names, 1, "COCO", tuple(int(number) for number in index)), len(files)
