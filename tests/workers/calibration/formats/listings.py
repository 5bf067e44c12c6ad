"""Datasets in memory: what a reader of annotations sees of them."""

from collections.abc import Mapping, Sequence

from workers.calibration.formats.listing import FileListing


def listing(
    files: Mapping[str, str | bytes], images: Sequence[str] = ("a.png", "b.png"), labels: Sequence[str] = ()
) -> FileListing:
    """Files of annotations beside pictures, which are never read."""
    content = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    return FileListing(
        tuple(images), frozenset(labels), {name: len(text) for name, text in content.items()}, content.__getitem__
    )
