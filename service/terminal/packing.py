"""The form in which files travel: one file each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from workers.errors import UnreadableModel

WEIGHTS = {".xml": ".bin", ".pdmodel": ".pdiparams"}  # of a graph that keeps them in a file beside it
EXTERNAL = (".data", "_data")  # after the name of an ONNX file: what exporters call a file of weights beside it


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """`path` as one file: a folder, or a graph with its weights, as a zip. The same content gives the same bytes."""
    weights = _weights_of(path)
    if path.is_file() and not weights:
        yield path
        return
    with TemporaryDirectory() as folder:
        packed = Path(folder) / f"{path.stem}.zip"
        files = [path, *weights] if weights else sorted(path.rglob("*"))
        missing = [file for file in (path, *files) if not file.exists()]
        if missing:
            raise UnreadableModel(f"{missing[0]} is missing.", hint=_remedy(path.suffix))
        root = path.parent if path.is_file() else path
        with ZipFile(packed, "w") as archive:
            for file in files:
                if file.is_file():
                    _add(archive, file, file.relative_to(root).as_posix())
        yield packed


def _weights_of(path: Path) -> list[Path]:
    """The files beside a graph that hold its weights: one that must be there, or what an ONNX file may have."""
    if path.suffix in WEIGHTS:
        return [path.with_suffix(WEIGHTS[path.suffix])]
    beside = [path.with_name(path.name + ending) for ending in EXTERNAL] if path.suffix == ".onnx" else []
    return [file for file in beside if file.is_file()]


def _remedy(graph: str) -> str:
    return f"Give the {graph} with its {WEIGHTS[graph]} beside it." if graph in WEIGHTS else "Check the path."


def _add(archive: ZipFile, file: Path, name: str) -> None:
    entry = ZipInfo(name)  # dated 1980, whatever the file's date
    entry.compress_type = ZIP_DEFLATED
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=os.path.getsize(file) >= 2**31) as target:
        while block := source.read(1 << 20):
            target.write(block)
