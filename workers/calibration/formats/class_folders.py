"""Class folders, as ImageNet has them: every class in a folder of its own, counted as classes.txt lists them."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from workers.annotations import TargetKind
from workers.calibration.formats.listing import Annotation, FileListing, class_list
from workers.errors import LabelMismatch

PLAIN = frozenset("images image img imgs train training val valid validation test data jpegimages".split())


def unnamed(images: Iterable[str]) -> str | None:
    """What is to be said of pictures that lie in folders which may be classes, where nothing tells their numbers."""
    found = sorted({PurePosixPath(name).parent.name for name in images})
    if len(found) < 2 or "" in found or any(folder.lower() in PLAIN for folder in found):
        return None
    names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return (
        f"The pictures lie in {len(found)} folders ({names}), which are classes to a model that has as many. For another, "
        "name the folders by its numbers of the classes, or list all its classes in classes.txt."
    )


def find(listing: FileListing, classes: int | None) -> Annotation | None:
    """Two folders or more, all images in one of them.

    They are counted as classes.txt has them, by their numbers where all are numbers, else in the order of the alphabet; the
    last only where there are as many folders as the model has classes. Raises LabelMismatch for a folder that classes.txt does
    not list.
    """
    folders = {name: PurePosixPath(name).parent.name for name in listing.images}
    found = sorted(set(folders.values()))
    if len(found) < 2 or "" in found or any(folder.lower() in PLAIN for folder in found):
        return None
    listed = class_list(listing)
    if listed:
        index = {folder: number for number, line in enumerate(listed) for folder in (line, line.split()[0])}
        unknown = next((folder for folder in found if folder not in index), None)
        if unknown is not None:
            raise LabelMismatch(f"The folder {unknown!r} is not among the {len(listed)} names of classes.txt.")
    elif all(folder.isdecimal() for folder in found):
        index = {folder: int(folder) for folder in found}
    elif classes == len(found):
        index = {folder: number for number, folder in enumerate(found)}
    else:
        return None
    names = listed or tuple(sorted(index, key=lambda folder: index[folder]) if len(index) == classes else ())
    entries = {name: index[folder] for name, folder in folders.items()}
    return Annotation(TargetKind.CLASS, entries, names, int(bool(listed)), "class folders")
