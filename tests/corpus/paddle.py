"""A PaddlePaddle program with the file of its weights, as `paddle.jit.save` wrote them up to version 2."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.corpus.wire import message

FLOAT, DENSE, FEED, FETCH = 5, 7, 9, 10  # types of variables
INTEGER, BOOLEAN = 0, 6  # types of attributes


def tensor(*sizes: int) -> bytes:
    return message(f1=FLOAT) + b"".join(message(f2=size % 2**64) for size in sizes)


def variable(name: str, *sizes: int, kept: int = 0) -> bytes:
    return message(f3=message(f1=name.encode(), f2=message(f1=DENSE, f3=message(f1=tensor(*sizes))), f3=kept))


def operation(kind: str, inputs: dict[str, str], outputs: dict[str, str], **attributes: int) -> bytes:
    ports = [(f"f{field}", port, name) for field, names in ((1, inputs), (2, outputs)) for port, name in names.items()]
    slots = b"".join(message(**{field: message(f1=port.encode(), f2=name.encode())}) for field, port, name in ports)
    return message(f4=slots + message(f3=kind.encode()) + b"".join(attribute(*item) for item in attributes.items()))


def attribute(key: str, value: int) -> bytes:
    if isinstance(value, bool):
        return message(f4=message(f1=key.encode(), f2=BOOLEAN, f10=value))
    return message(f4=message(f1=key.encode(), f2=INTEGER, f3=value))


def program(weights: dict[str, NDArray[np.float32]]) -> bytes:
    """x (?, 12) times `first`, rectified, times `second`."""
    ends = [message(f3=message(f1=name, f2=message(f1=kind), f3=1)) for name, kind in ((b"feed", FEED), (b"fetch", FETCH))]
    tensors = [variable(name, *value.shape, kept=1) for name, value in weights.items()]
    tensors += [variable(name, -1, size) for name, size in (("x", 12), ("h", 16), ("r", 16), ("y", 4))]
    product = {"trans_x": False, "trans_y": False}
    steps = [
        operation("feed", {"X": "feed"}, {"Out": "x"}, col=0),
        operation("matmul_v2", {"X": "x", "Y": "first"}, {"Out": "h"}, **product),
        operation("relu", {"X": "h"}, {"Out": "r"}),
        operation("matmul_v2", {"X": "r", "Y": "second"}, {"Out": "y"}, **product),
        operation("fetch", {"X": "y"}, {"Out": "fetch"}, col=0),
    ]
    block = message(f1=0, f2=2**64 - 1) + b"".join([*ends, *tensors, *steps])
    return message(f1=block, f4=message(f1=2006000))


def save(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Write model.pdmodel and model.pdiparams; returns the weights."""
    rng = np.random.default_rng(7)
    weights = {
        name: (rng.normal(size=shape) / 3).astype(np.float32) for name, shape in (("first", (12, 16)), ("second", (16, 4)))
    }
    (folder / "model.pdmodel").write_bytes(program(weights))
    stored = b""
    for value in weights.values():
        described = tensor(*value.shape)
        stored += struct.pack("<IQIi", 0, 0, 0, len(described)) + described + value.tobytes()
    (folder / "model.pdiparams").write_bytes(stored)
    return weights
