"""What an ONNX file says about itself, read before OpenVINO sees it: versions, and where its weights are kept."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from workers.errors import IncompleteModel, UnreadableModel, UnsafeArchive
from workers.ir.files import wire
from workers.ir.graph.origins import SourceNode

# ONNX 1.23 has IR version 14 and operator set 28. OpenVINO reads any number, and takes the newest meaning it knows.
NEWEST_IR = 20
NEWEST_OPSET = 40
LONGEST_NAME = 100  # characters of a name that are told

NESTED = {  # field numbers of onnx.proto, by message
    "model": {7: "graph", 8: "opset", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {13: "entry"},
}


def external_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX model that hold its weights.

    Raises UnreadableModel for versions that do not exist, UnsafeArchive for a location outside the model's folder,
    IncompleteModel for a file that is missing or too short.
    """
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    found: dict[Path, None] = {}
    try:
        for kind, number, value in wire.walk(content, "model", NESTED):
            _check_version(kind, number, value)
            if NESTED.get(kind, {}).get(number) == "tensor" and isinstance(value, memoryview):
                found |= dict.fromkeys(_location(path, value))
    except wire.Malformed as error:
        raise UnreadableModel(f"The ONNX file is damaged: {error}.") from error
    return tuple(found)


def _check_version(kind: str, number: int, value: wire.Value) -> None:
    limit, what = {("model", 1): (NEWEST_IR, "IR version"), ("opset", 2): (NEWEST_OPSET, "operator set")}.get(
        (kind, number), (0, "")
    )
    if what and isinstance(value, int) and value > limit:
        raise UnreadableModel(f"The ONNX file claims {what} {value}; none above {limit} is known.")


def _location(model: Path, tensor: memoryview) -> Iterator[Path]:
    entries = _entries(tensor)
    if "location" not in entries:
        return
    name = PurePosixPath(entries["location"])
    path, called = model.parent / name, str(name)[:LONGEST_NAME]
    if name.is_absolute() or ".." in name.parts or "\\" in entries["location"] or os.path.islink(path):
        raise UnsafeArchive(f"The model keeps weights in {called!r}, which is a link or outside its folder.")
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long for the file system
        raise IncompleteModel(f"The model keeps weights in {called!r}, and that file is missing.", hint=TOGETHER)
    needed = _number(entries.get("offset", "0")) + _number(entries.get("length", "0"))
    if needed > path.stat().st_size:
        raise IncompleteModel(f"The model needs {needed} bytes of {called!r}, which has {path.stat().st_size}.", hint=TOGETHER)
    yield path


TOGETHER = "Keep the files of its weights beside the .onnx file, or pack them together into one zip."


def _entries(tensor: memoryview) -> dict[str, str]:
    entries = {}
    for number, entry in wire.fields(tensor):
        if number == 13 and isinstance(entry, memoryview):
            pair = {n: bytes(text).decode(errors="replace") for n, text in wire.fields(entry) if isinstance(text, memoryview)}
            entries[pair.get(1, "")] = pair.get(2, "")
    return entries


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise wire.Malformed(f"{text[:20]!r} is no number of bytes")
    return int(text)


def node_by_tensor(path: Path) -> dict[str, SourceNode]:
    """The operations of an ONNX graph, by each tensor that they compute; one without a name goes by its first tensor."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    graphs = [value for number, value in wire.fields(content) if number == 7 and isinstance(value, memoryview)]
    nodes = [value for graph in graphs for number, value in wire.fields(graph) if number == 1 and isinstance(value, memoryview)]
    found: dict[str, SourceNode] = {}
    for node in nodes:
        texts: dict[int, list[str]] = {2: [], 3: [], 4: []}
        for number, text in wire.fields(node):
            if number in texts and isinstance(text, memoryview):
                texts[number].append(bytes(text).decode(errors="replace"))
        outputs = [name for name in texts[2] if name]
        name, kind = (next(iter(texts[number]), "") for number in (3, 4))
        found |= dict.fromkeys(outputs, SourceNode(name or next(iter(outputs), ""), kind))
    return found
