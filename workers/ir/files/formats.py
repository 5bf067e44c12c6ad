"""What a file is, by its content: the name an upload carries proves nothing."""

import codecs
import mmap
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from workers.errors import UnreadableModel, UnsupportedFormat
from workers.ir.files import wire

Format = Literal["onnx", "openvino", "tflite", "savedmodel", "tensorflow", "paddle"]
WEIGHTS_FILE = {"openvino": ".bin", "paddle": ".pdiparams"}  # that a graph keeps beside it

HEAD = 4096  # bytes that every test but the protocol-buffer scan sees


class ForeignFile(NamedTuple):
    """Something that is not a model Fractune reads, and what its owner can do about it."""

    name: str
    remedy: str | None = None


TORCH = ForeignFile("a PyTorch checkpoint", "Export it with torch.onnx.export(model, example_input, 'model.onnx').")
TORCHSCRIPT = ForeignFile("a TorchScript archive", TORCH.remedy)
TORCH_EXPORT = ForeignFile("a PyTorch ExportedProgram (.pt2)", TORCH.remedy)
KERAS = ForeignFile("a Keras or other HDF5 file", "Export it with model.export('folder'), and pack the folder as a zip.")
KERAS_ZIP = ForeignFile("a Keras archive (.keras)", KERAS.remedy)
TO_ONNX = "Convert it to ONNX with the tools of its framework."
IMAGE = ForeignFile("an image")
ARCHIVE = ForeignFile("an archive that is not a zip", "Pack the model as a plain zip.")
CAFFE = ForeignFile("a Caffe model", TO_ONNX)
PADDLE_JSON = ForeignFile(
    "a PaddlePaddle program in JSON",
    "Save it as .pdmodel (with FLAGS_enable_pir_api=0 in the environment), or convert it with paddle2onnx.",
)
CORE_ML = ForeignFile("a Core ML model", "Export the network from its framework as ONNX.")
PICKLES = (b"\2", b"\3", b"\4", b"\5")  # versions
WEIGHTS_ONLY = "It holds weights without the network: export the whole model as ONNX."

SIGNATURES: tuple[tuple[int, bytes, ForeignFile], ...] = (
    (
        0,
        b"version https://git-lfs",
        ForeignFile("a Git LFS pointer, not the file it stands for", "Run `git lfs pull`, then submit the file."),
    ),
    (0, b"\x89HDF\r\n\x1a\n", KERAS),
    (0, b"GGUF", ForeignFile("a GGUF file", "Language models in GGUF are quantised already; export the original as ONNX.")),
    (0, b"\x93NUMPY", ForeignFile("a NumPy array", WEIGHTS_ONLY)),
    (0, b"\x89PNG", IMAGE),
    (0, b"\xff\xd8\xff", IMAGE),
    (0, b"GIF8", IMAGE),
    (0, b"II*\0", IMAGE),
    (0, b"MM\0*", IMAGE),
    (8, b"WEBP", IMAGE),
    (0, b"\x1f\x8b", ARCHIVE),
    (0, b"BZh", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (0, b"Rar!", ARCHIVE),
    (0, b"\xfd7zXZ", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE),
    (257, b"ustar", ARCHIVE),
    (0, b"%PDF", ForeignFile("a PDF document")),
    (0, b"\x7fELF", ForeignFile("a program")),
    (0, b"MZ", ForeignFile("a program")),
    (0, b"ptrt", ForeignFile("a TensorRT engine", "Engines are built for one GPU; submit the ONNX model it was built from.")),
    (0, b"ftrt", ForeignFile("a TensorRT engine", "Engines are built for one GPU; submit the ONNX model it was built from.")),
    (0, b"7767517\n", ForeignFile("an ncnn model", TO_ONNX)),
)

ZIP_CONTENTS: tuple[tuple[str, ForeignFile], ...] = (
    (r"(.*/)?constants\.pkl", TORCHSCRIPT),
    (r"(.*/)?(archive_format|serialized_exported_program\.json)", TORCH_EXPORT),
    (r"(.*/)?data\.pkl", TORCH),
    (r"model\.weights\.h5", KERAS_ZIP),
    (r"[^/]+\.mlmodel|Manifest\.json", CORE_ML),
    (r"[^/]+\.npy", ForeignFile("a NumPy .npz archive, which holds arrays and no model", WEIGHTS_ONLY)),
)

UNKNOWN = ForeignFile("binary data of an unknown kind", "The weights of an OpenVINO IR (.bin) need their .xml.")

ONNX_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
GRAPHDEF_FIELDS = {1, 2, 3, 4, 5}
PADDLE_FIELDS = {1, 4, 5}
CAFFE_LAYERS = {2, 100}


def recognise(path: Path) -> Format | Literal["zip"]:
    """The format of a file. Raises UnsupportedFormat naming what else it is, UnreadableModel if empty or cut off."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        if not head:
            raise UnreadableModel("The file is empty.")
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return "zip"
        if head[4:8] == b"TFL3":
            return "tflite"
        if _root_of_xml(head) == b"net":
            return "openvino"
        other = _signature(head) or _text(head)
        if other is not None:
            raise unsupported(other)
        return _protocol_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def unsupported(found: ForeignFile) -> UnsupportedFormat:
    """The refusal of something that is not a model in an accepted format; names both what it is and what is accepted."""
    accepted = UnsupportedFormat.hint
    return UnsupportedFormat(f"This is {found.name}.", hint=f"{found.remedy} {accepted}" if found.remedy else accepted)


def zip_content(names: Iterable[str]) -> ForeignFile | None:
    """What a zip is when it is some framework's own container rather than a packed folder."""
    members = list(names)
    for pattern, other in ZIP_CONTENTS:
        if any(re.fullmatch(pattern, name) for name in members):
            return other
    return None


def _signature(head: bytes) -> ForeignFile | None:
    for offset, magic, other in SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return other
    if head[0] == 0x80 and head[1:2] in PICKLES and head[2:3] not in (b"", b"\x01"):
        return ForeignFile(
            "a Python pickle, probably a PyTorch checkpoint; it is not opened, for it could run code", TORCH.remedy
        )
    if head[8:10] in (b'{"', b"{}") and int.from_bytes(head[:8], "little") < 2**27:
        return ForeignFile("a safetensors file", WEIGHTS_ONLY)
    return None


def _root_of_xml(head: bytes) -> bytes | None:
    """The name of the root element; the groups are atomic, so that no text takes more than one try."""
    prolog = rb"(?:\xef\xbb\xbf)?(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?>)*+"
    found = re.match(prolog + rb"<(\w+)", head, re.DOTALL)
    return found[1] if found else None


def _text(head: bytes) -> ForeignFile | None:
    if b"\0" in head:
        return None
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return ForeignFile("an HTML page", "The download failed or needs a login: fetch the file itself.")
    if _root_of_xml(head) is not None:
        return ForeignFile("an XML document that is no OpenVINO IR")
    if not re.fullmatch(rb"[\t\n\r\x20-\x7e\x80-\xff]+", head) or not _is_utf8(head):
        return None
    if re.search(rb"^\s*(layer|layers|input_shape)\s*\{", head, re.MULTILINE):
        return ForeignFile("a Caffe .prototxt", TO_ONNX)
    if re.match(rb'\{\s*"base_code"\s*:\s*\{\s*"magic"\s*:\s*"pir"', head):
        return PADDLE_JSON
    return ForeignFile("a JSON document") if start.startswith((b"{", b"[")) else ForeignFile("a text file")


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)  # which may end within a character
    except UnicodeDecodeError:
        return False
    return True


def _protocol_buffer(content: mmap.mmap) -> Format:
    seen, cut = _top_level(content)
    kind = _message(seen)
    if isinstance(kind, ForeignFile):
        raise unsupported(kind)
    if cut is not None:
        raise UnreadableModel(f"The file is cut off: {cut}.")
    return kind


def _top_level(content: mmap.mmap) -> tuple[dict[int, int | bytes], wire.Truncated | None]:
    """The first value of every top-level field (bytes shortened), none if this is no message; and where the file is cut off."""
    seen: dict[int, int | bytes] = {}
    try:
        for number, value in wire.fields(memoryview(content)):
            seen.setdefault(number, value if isinstance(value, int) else bytes(value[:64]))
    except wire.Truncated as cut:
        return seen | {cut.field: b""}, cut
    except wire.Malformed:
        return {}, None
    return seen, None


def _message(seen: dict[int, int | bytes]) -> Format | ForeignFile:
    """Whose message has these top-level fields."""
    first, numbers = seen.get(1), seen.keys()
    if isinstance(first, int):  # a version, in ONNX, SavedModel and Core ML
        if isinstance(seen.get(7), bytes) and numbers <= ONNX_FIELDS:
            return "onnx"
        if numbers == {1, 2}:
            return "savedmodel"
        return CORE_ML if isinstance(seen.get(2), bytes) and max(numbers) >= 200 else UNKNOWN
    if first is None:
        return UNKNOWN
    if first[:1] == b"\x0a" and numbers <= GRAPHDEF_FIELDS:  # a node, which starts with its name
        return "tensorflow"
    if first[:1] == b"\x08" and numbers <= PADDLE_FIELDS:  # a block, which starts with its index
        return "paddle"
    return CAFFE if numbers & CAFFE_LAYERS else UNKNOWN
