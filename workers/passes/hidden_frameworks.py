"""Keeps NNCF from importing what it is never handed: torch, where it is there, takes three times as long as NNCF itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

HIDDEN = ("torch", "onnx")


@contextmanager
def only_openvino() -> Iterator[None]:
    """Within the block, frameworks that have not been imported yet cannot be, as if they were not installed."""
    hidden = [name for name in HIDDEN if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # which makes an import raise ModuleNotFoundError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
