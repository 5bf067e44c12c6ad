import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.corpus.wire import message
from tests.workers.ir import tiny
from workers.errors import Refusal, UnreadableModel, UnsupportedFormat
from workers.ir.files.formats import recognise
from workers.ir.reading.importer import load


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name in names:
            packed.writestr(name, b"content")
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


NODE = message(f1=b"name", f2=b"Const")

FOREIGN = {
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "HTML": b"\n\n<!DOCTYPE html>\n<html><body>Not found</body></html>",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "pickle": b"\x80\x04\x95\x03\0\0\0\0\0\0\0}\x94.",
    "TorchScript": archive("model/data.pkl", "model/constants.pkl", "model/code/x.py"),
    "PyTorch checkpoint": archive("archive/data.pkl", "archive/data/0"),
    "ExportedProgram": archive("model/archive_format", "model/data/weights"),
    "Keras archive": archive("config.json", "model.weights.h5"),
    "npz": archive("x.npy", "y.npy"),
    "GGUF": b"GGUF\3\0\0\0" + bytes(100),
    "safetensors": struct.pack("<Q", 12) + b'{"w": 12345}',
    "NumPy": array(),
    "JSON": b'{"format": "graph-model"}',
    "Caffe .prototxt": b'name: "net"\nlayer {\n  name: "data"\n}\n',
    "XML": b"<?xml version='1.0'?><annotation><folder/></annotation>",
    "text": "layers and weights: très bien\n".encode(),
    "Caffe model": message(f1=b"net", f100=message(f1=b"conv")),
    "PaddlePaddle program in JSON": b'{"base_code":{"magic":"pir","version":1},"program":{}}',
    "Core ML": message(f1=5, f2=b"description", f500=b"layers"),
    "unknown kind": bytes(range(256)) * 4,
    "not a zip": b"\x1f\x8b\x08\0" + bytes(50),
    "TensorRT": b"ptrt" + bytes(100),
}


@pytest.mark.parametrize("found", FOREIGN)
def test_what_was_found_is_named_with_what_is_accepted(tmp_path: Path, found: str) -> None:
    (tmp_path / "model.onnx").write_bytes(FOREIGN[found])
    with pytest.raises(UnsupportedFormat, match=found) as caught:
        load(tmp_path / "model.onnx")
    assert "Give ONNX" in caught.value.hint


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
def test_images_are_no_models(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model").write_bytes(image(kind))
    with pytest.raises(UnsupportedFormat, match="an image"):
        load(tmp_path / "model")


def test_remedy_for_a_checkpoint_is_an_export(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(FOREIGN["pickle"])
    with pytest.raises(UnsupportedFormat) as caught:
        load(tmp_path / "model.pth")
    assert "torch.onnx.export" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiny.cnn().SerializeToString(), "onnx"),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<net name="m" version="11">', "openvino"),
        (b"\x1c\0\0\0TFL3" + bytes(20), "tflite"),
        (message(f1=1, f2=message(f2=NODE)), "savedmodel"),
        (message(f1=NODE, f4=message(f1=27)), "tensorflow"),
        (message(f1=message(f1=0, f2=0), f4=message(f1=0)), "paddle"),
        (archive("a"), "zip"),
    ],
)
def test_content_decides_the_format(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    assert recognise(tmp_path / "model.bin") == kind


def test_empty_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UnreadableModel, match="empty"):
        load(tmp_path / "model.onnx")


def test_truncated_model_is_unreadable_and_says_where(tmp_path: Path) -> None:
    content = tiny.cnn().SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableModel, match=r"cut off: its field 7 needs \d+ bytes"):
        load(tmp_path / "model.onnx")


@given(
    content=st.binary(max_size=200),
    prefix=st.sampled_from([b"", b"PK\x03\x04", b"<?xml ", b"\x08\x07", b"\x0a\x05", b"\x80\x04"]),
)
def test_any_bytes_are_recognised_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, prefix: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(prefix + content)
    with suppress(Refusal):
        assert recognise(path)


def test_frozen_tensorflow_graph_is_read(tmp_path: Path) -> None:
    (tmp_path / "frozen.pb").write_bytes(tensorflow_graph())
    imported = load(tmp_path / "frozen.pb")
    assert (imported.format, imported.inputs[0].shape) == ("tensorflow", (1, 4))


def test_saved_model_is_read_from_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        packed.writestr("exported/saved_model.pb", saved_model())
        packed.writestr("exported/variables/", b"")
    imported = load(tmp_path / "m.zip")
    assert (imported.format, imported.inputs[0].shape) == ("savedmodel", (1, 4))


def tensorflow_graph() -> bytes:
    """in (?, 4) times a constant (4, 3), as a GraphDef."""
    float32 = 1
    dtype = attribute(b"dtype", f6=float32)
    shape = attribute(b"shape", f7=dimensions(-1, 4))
    value = attribute(b"value", f8=message(f1=float32, f2=dimensions(4, 3), f4=tiny.weight(4, 3).tobytes()))
    nodes = [
        message(f1=b"in", f2=b"Placeholder") + dtype + shape,
        message(f1=b"w", f2=b"Const") + dtype + value,
        message(f1=b"out", f2=b"MatMul") + message(f3=b"in") + message(f3=b"w") + attribute(b"T", f6=float32),
    ]
    return b"".join(message(f1=node) for node in nodes) + message(f4=message(f1=27))


def dimensions(*sizes: int) -> bytes:
    return b"".join(message(f2=message(f1=size % 2**64)) for size in sizes)


def attribute(key: bytes, **value: int | bytes) -> bytes:
    return message(f5=message(f1=key, f2=message(**value)))


def saved_model() -> bytes:
    inputs = message(f1=message(f1=b"in", f2=message(f1=b"in:0", f2=1)))
    outputs = message(f2=message(f1=b"out", f2=message(f1=b"out:0", f2=1)))
    signature = inputs + outputs + message(f3=b"tensorflow/serving/predict")
    graph = message(f1=message(f4=b"serve"), f2=tensorflow_graph(), f5=message(f1=b"serving_default", f2=signature))
    return message(f1=1, f2=graph)
