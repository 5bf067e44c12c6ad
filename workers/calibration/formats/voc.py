"""Pascal VOC: for every image an XML file of the same name, with objects, their names and their corners in pixels from 1."""

from xml.etree import ElementTree

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, RawBoxes, class_list, coordinate, labels_beside
from workers.errors import LabelMismatch

SIDES = ("xmin", "ymin", "xmax", "ymax")
Objects = list[tuple[tuple[float, ...], str, bool]]


def find(listing: FileListing) -> Annotation | None:
    """The XML files that are called as images are. Classes are those of classes.txt, else in the order of the alphabet."""
    files = labels_beside(listing.images, listing.ending(".xml"))
    read = {name: _objects(file, listing) for name, file in files.items()}
    if not any(objects is not None for objects in read.values()):
        return None
    found = {name: objects or [] for name, objects in read.items()}
    classes = class_list(listing) or tuple(sorted({label for objects in found.values() for _, label, _ in objects}))
    entries = {
        name: RawBoxes.of([(box, index_of(label, classes, name), crowd) for box, label, crowd in objects])
        for name, objects in found.items()
    }
    return Annotation(TargetKind.BOXES, entries, classes, len(set(files.values())), "Pascal VOC")


def index_of(label: str, classes: tuple[str, ...], where: str) -> int:
    """The index of a class. Raises LabelMismatch where it is not among them."""
    if label not in classes:
        raise LabelMismatch(f"The annotation of {where!r} names the class {label!r}, which is not in classes.txt.")
    return classes.index(label)


def parse(name: str, listing: FileListing) -> ElementTree.Element:
    """An XML file. Raises LabelMismatch where it is broken, or declares entities."""
    text = listing.text(name)
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise LabelMismatch(f"The file {name!r} declares entities, which annotations do not need.")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LabelMismatch(f"The file {name!r} is not XML: {error}.") from error


def _objects(file: str, listing: FileListing) -> Objects | None:
    root = parse(file, listing)
    if root.tag != "annotation":
        return None
    try:
        return [_object(entry) for entry in root.iter("object")]
    except (TypeError, ValueError, AttributeError) as error:
        raise LabelMismatch(f"The file {file!r} holds an object without name or corners.") from error


def _object(entry: ElementTree.Element) -> tuple[tuple[float, ...], str, bool]:
    box = entry.find("bndbox")
    if box is None:
        raise ValueError("no bndbox")
    left, top, right, bottom = (coordinate(box.findtext(side, "")) for side in SIDES)
    return (left - 1, top - 1, right, bottom), entry.findtext("name", "").strip(), entry.findtext("difficult", "0") == "1"
