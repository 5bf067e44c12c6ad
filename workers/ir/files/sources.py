"""From what a user gives (a file, a folder or a zip) to the files of one model."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from workers.archives import open_zip, unpack
from workers.digest import file_sha256
from workers.errors import IncompleteModel, Refusal, UnreadableModel, UnsupportedFormat
from workers.ir.files.formats import WEIGHTS_FILE, ForeignFile, Format, recognise, unsupported, zip_content
from workers.ir.files.onnx_file import external_files
from workers.ir.files.onnx_functions import defines_functions, without_functions
from workers.ir.files.tflite_file import check_output_names

MAX_FILES = 10_000  # of a folder
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite", "tensorflow": ".pb", "paddle": ".pdmodel"}


@dataclass(frozen=True, slots=True)
class Source:
    """One model on disk."""

    format: Format
    path: Path  # what OpenVINO is to read: a file, or the folder of a SavedModel
    files: tuple[Path, ...]  # all that the model consists of
    sha256: str  # of the file that was given; of a `sha256sum` listing where the model is several files

    @property
    def bytes(self) -> int:
        """The size of the model with its weights, unpacked."""
        return sum(file.stat().st_size for file in self.files)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Find the model in a file, folder or zip; files unpacked or renamed for reading are gone afterwards.

    Raises a Refusal that names what was found instead.
    """
    if not os.path.isfile(path) and not os.path.isdir(path):  # Path.is_file raises where a name is too long for the system
        raise UnreadableModel(f"There is no file or folder {path.name!r}.", hint="Check the path.")
    with TemporaryDirectory(prefix="fractune-model-") as folder:
        source = _locate(path, Path(folder) / "unpacked")
        yield replace(source, path=_readable(source, Path(folder)))


def _locate(path: Path, folder: Path) -> Source:
    if path.is_dir():
        return _in_folder(path)
    if recognise(path) != "zip":
        return _of_file(path)
    with open_zip(path, UnreadableModel) as (_, entries):
        other = zip_content(entry.filename for entry in entries)
    if other is not None:
        raise unsupported(other)
    unpack(path, folder, UnreadableModel)
    return replace(_in_folder(folder), sha256=file_sha256(path))


def _in_folder(folder: Path) -> Source:
    """The one model in a folder, at any depth."""
    files = _files(folder)
    models, refusals = [], []
    saved = {file.parent for file in files if file.name == "saved_model.pb"}
    for file in files:
        if saved.isdisjoint(file.parents) or file.name == "saved_model.pb":
            try:
                kind = recognise(file)
                models += [(file, kind)] if kind != "zip" else []
            except Refusal as refusal:
                refusals.append(refusal)
    if len(models) > 1:
        raise _several([file.relative_to(folder) for file, _ in models])
    if not models:
        raise _none(files, refusals)
    return _of_file(models[0][0])


def _files(folder: Path) -> list[Path]:
    files = list(islice((file for file in folder.rglob("*") if file.is_file()), MAX_FILES + 1))
    if len(files) > MAX_FILES:
        raise UnsupportedFormat(f"The folder holds more than {MAX_FILES} files; give the folder of the model alone.")
    return sorted(files)


def _several(names: Sequence[Path]) -> Refusal:
    listed = ", ".join(str(name) for name in names[:5])
    return UnsupportedFormat(f"There are {len(names)} models in it: {listed}.", hint="Give one model at a time.")


def _none(files: Sequence[Path], refusals: Sequence[Refusal]) -> Refusal:
    damaged = next((refusal for refusal in refusals if isinstance(refusal, UnreadableModel)), None)
    if damaged is not None or len(refusals) == 1:
        return damaged or refusals[0]
    kinds = sorted({file.suffix or "nameless" for file in files})
    return unsupported(
        ForeignFile(f"a folder or zip without a model: {len(files)} files ({', '.join(kinds[:5])})" if files else "empty")
    )


def _of_file(path: Path) -> Source:
    kind = recognise(path)
    if kind == "zip":
        raise unsupported(ForeignFile("a zip inside a folder", "Give the zip itself."))
    if kind == "savedmodel":
        return _saved_model(path)
    files = [path]
    if kind == "onnx":
        files += external_files(path)
    if kind == "tflite":
        check_output_names(path)
    if kind in ("openvino", "paddle"):
        files += _weights_beside(path, kind)
    return Source(kind, path, tuple(files), _digest(files, path.parent))


def _saved_model(path: Path) -> Source:
    if path.name != "saved_model.pb":
        raise IncompleteModel(
            "This is the graph of a SavedModel without its variables.", hint="Pack the SavedModel's folder as a zip."
        )
    files = _files(path.parent)
    return Source("savedmodel", path.parent, tuple(files), _digest(files, path.parent))


def _weights_beside(path: Path, kind: Format) -> list[Path]:
    weights = path.with_suffix(WEIGHTS_FILE[kind])
    if weights.is_file():
        return [weights]
    raise IncompleteModel(
        f"The weights {weights.name!r} of {path.name!r} are missing.",
        hint=f"Pack the {SUFFIX[kind]} and the {WEIGHTS_FILE[kind]} into one zip.",
    )


def _readable(source: Source, folder: Path) -> Path:
    """A path whose suffix does not mislead OpenVINO, which believes suffixes, and whose operations it can know."""
    if source.format == "onnx" and defines_functions(source.path):
        written = folder / "written"
        written.mkdir()
        return without_functions(source.path, source.files[1:], written)
    suffix = SUFFIX.get(source.format, "")
    if source.path.is_dir() or source.path.suffix == suffix or len(source.files) > 1:
        return source.path
    link = folder / f"model{suffix}"
    link.symlink_to(source.path.resolve())
    return link


def _digest(files: Sequence[Path], root: Path) -> str:
    if len(files) == 1:
        return file_sha256(files[0])
    listing = "".join(f"{file_sha256(file)}  {file.relative_to(root)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()
