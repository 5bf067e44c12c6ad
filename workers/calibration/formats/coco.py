"""COCO: one JSON file with images, annotations and categories."""

import json
from typing import Any

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, by_stem, stem
from workers.errors import LabelMismatch


def find(listing: FileListing) -> Annotation | None:
    """The first JSON file of that form; classes are counted in the order of their ids. Raises LabelMismatch if broken."""
    for name in listing.ending(".json"):
        try:
            document = json.loads(listing.text(name))
        except (ValueError, RecursionError) as error:
            raise LabelMismatch(f"The file {name!r} is not JSON: {error}.") from error
        if isinstance(document, dict) and {"images", "annotations"} <= document.keys():
            return _annotation(name, document, listing)
    return None


def _annotation(name: str, document: dict[str, Any], listing: FileListing) -> Annotation:
    images = by_stem(listing.images)
    try:
        categories = sorted(document.get("categories", ()), key=lambda category: int(category["id"]))
        index = {category["id"]: number for number, category in enumerate(categories)}
        rows: dict[Any, list[tuple[tuple[float, ...], int, bool]]] = {image["id"]: [] for image in document["images"]}
        for entry in document["annotations"]:
            left, top, width, height = map(float, entry["bbox"])
            corners = (left, top, left + width, top + height)
            rows[entry["image_id"]].append((corners, index[entry["category_id"]], bool(entry.get("iscrowd", 0))))
        files = {image["id"]: str(image["file_name"]) for image in document["images"]}
    except (KeyError, TypeError, ValueError) as error:
        raise LabelMismatch(f"The file {name!r} is not COCO's: {type(error).__name__} {error}.") from error
    known = {images[stem(file)]: RawBoxes.of(rows[key]) for key, file in files.items() if stem(file) in images}
    if not known:
        raise LabelMismatch(f"None of the {len(files)} images that {name!r} tells of is there.")
    names = tuple(str(category.get("name", "")) for category in categories)
    return Annotation(TargetKind.BOXES, known, names, 1, "COCO", tuple(int(number) for number in index))
