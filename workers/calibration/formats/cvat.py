"""CVAT for images: one XML file with images, and in each its boxes with their labels."""

from xml.etree import ElementTree

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, coordinate, labels_beside
from workers.calibration.formats.voc import index_of, parse
from workers.errors import LabelMismatch

SIDES = ("xtl", "ytl", "xbr", "ybr")


def find(listing: FileListing) -> Annotation | None:
    """annotations.xml; classes in the order in which its head lists them."""
    name = listing.named("annotations.xml")
    root = parse(name, listing) if name else None
    if name is None or root is None or root.tag != "annotations":
        return None
    listed = [label.text or "" for label in root.iterfind("meta//label/name")]
    used = sorted({box.get("label", "") for box in root.iter("box")})
    classes = tuple(dict.fromkeys(listed)) or tuple(used)
    told = {image.get("name", ""): image for image in root.iter("image")}
    images = {label: image for image, label in reversed(labels_beside(listing.images, told).items())}
    entries = {images[label]: _boxes(image, classes, name) for label, image in told.items() if label in images}
    if not entries:
        raise LabelMismatch(f"None of the images that {name!r} tells of is there.")
    return Annotation(TargetKind.BOXES, entries, classes, 1, "CVAT")


def _boxes(image: ElementTree.Element, classes: tuple[str, ...], file: str) -> RawBoxes:
    try:
        rows = [
            (
                [coordinate(box.attrib[side]) for side in SIDES],
                index_of(box.get("label", ""), classes, image.get("name", "")),
                False,
            )
            for box in image.iter("box")
        ]
    except (KeyError, ValueError) as error:
        raise LabelMismatch(f"The file {file!r} holds a box without corners.") from error
    return RawBoxes.of(rows)
