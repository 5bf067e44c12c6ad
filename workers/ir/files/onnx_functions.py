"""ONNX models that define operations of their own, written out: OpenVINO reads standard operations only."""

import mmap
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from workers.errors import UnreadableModel
from workers.ir.files import wire

FUNCTIONS = 25  # field of a model


def defines_functions(path: Path) -> bool:
    """Whether an ONNX file has functions of its own."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return any(number == FUNCTIONS for number, _ in wire.fields(content))


def without_functions(path: Path, weights: Sequence[Path], folder: Path) -> Path:
    """The same model in `folder` with its functions put where they are called; its external `weights` are linked.

    Raises UnreadableModel where that cannot be done.
    """
    onnx, inliner = import_module("onnx"), import_module("onnx.inliner")  # few files need them
    try:
        model = inliner.inline_local_functions(onnx.load(path, load_external_data=False))
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnreadableModel(f"The functions that the model defines cannot be put in place: {error}.") from error
    for file in weights:
        link = folder / file.relative_to(path.parent)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    written = folder / "model.onnx"
    onnx.save(model, written)
    return written
