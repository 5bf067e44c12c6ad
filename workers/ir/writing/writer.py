"""Models as files."""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino as ov

from workers.threads import ALONE, Threads

BLOCK = 2**20  # that is deflated on its own, for threads to share: a zip of one piece is smaller by 2 in 10,000


@dataclass(frozen=True, slots=True)
class SavedSize:
    """What an .xml and a .bin take together."""

    bytes: int
    zip_bytes: int  # deflated as zip does unless it is told otherwise, without an archive's own headers


def save_model(model: ov.Model, xml: Path) -> None:
    """Write `xml` and the .bin beside it, in the precision that the constants have, and flush both to the disk.

    Blanks between XML tags are left out: a sixth of the file, and nothing reads them.
    """
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, xml, compress_to_fp16=False)
    xml.write_bytes(re.sub(rb">\s+<", b"><", xml.read_bytes()))
    for path in (xml, xml.with_suffix(".bin"), xml.parent):
        _flush(path)


def size_on_disk(xml: Path, threads: Threads = ALONE) -> SavedSize:
    """The size of a model on disk."""
    files = (xml, xml.with_suffix(".bin"))
    return SavedSize(sum(path.stat().st_size for path in files), sum(_deflated(path, threads) for path in files))


def saved_size(model: ov.Model, *, half: bool = False, threads: Threads = ALONE) -> SavedSize:
    """What a model takes when OpenVINO saves it as it is, or with its floats in half precision."""
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        ov.save_model(model, xml, compress_to_fp16=half)
        return size_on_disk(xml, threads)


def _deflated(path: Path, threads: Threads) -> int:
    sizes: list[int] = []
    with path.open("rb") as file:

        def one(start: int) -> None:
            sizes.append(len(zlib.compress(os.pread(file.fileno(), BLOCK, start))))

        threads.each(one, range(0, path.stat().st_size, BLOCK))
    return sum(sizes)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
