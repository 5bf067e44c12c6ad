"""Protocol buffers and ONNX files, built where a test needs them."""

from pathlib import Path

import onnx

from tests.workers.ir import tiny


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, value: int | bytes) -> bytes:
    key = number << 3
    return varint(key) + varint(value) if isinstance(value, int) else varint(key | 2) + varint(len(value)) + value


def external(folder: Path, content: bytes, **entries: str) -> Path:
    """A model of one matrix product, (?, 4) times (4, 3), whose weight is in a file `weights`, or where `entries` say."""
    model = tiny.matmul()
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    for key, value in ({"location": "weights"} | entries).items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "weights").write_bytes(content)
    return tiny.save(model, folder / "model.onnx")
