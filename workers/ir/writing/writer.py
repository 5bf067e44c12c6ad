"""Models as files."""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino as ov

BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class SavedSize:
    """What an .xml and a .bin take together."""

    bytes: int
    zip_bytes: int  # deflated at level 9, without an archive's own headers


def save_model(model: ov.Model, xml: Path) -> None:
    """Write `xml` and the .bin beside it, in the precision that the constants have, and flush both to the disk.

    Blanks between XML tags are left out: a sixth of the file, and nothing reads them.
    """
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, xml, compress_to_fp16=False)
    xml.write_bytes(re.sub(rb">\s+<", b"><", xml.read_bytes()))
    for path in (xml, xml.with_suffix(".bin"), xml.parent):
        _flush(path)


def size_on_disk(xml: Path) -> SavedSize:
    """The size of a model on disk."""
    files = (xml, xml.with_suffix(".bin"))
    return SavedSize(sum(path.stat().st_size for path in files), sum(_deflated(path) for path in files))


def saved_size(model: ov.Model, *, half: bool = False) -> SavedSize:
    """What a model takes when OpenVINO saves it as it is, or with its floats in half precision."""
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        ov.save_model(model, xml, compress_to_fp16=half)
        return size_on_disk(xml)


def _deflated(path: Path) -> int:
    packer = zlib.compressobj(9)
    with path.open("rb") as file:
        return sum(len(packer.compress(block)) for block in iter(lambda: file.read(BLOCK), b"")) + len(packer.flush())


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
