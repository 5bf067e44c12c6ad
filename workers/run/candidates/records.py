"""Arrays and records as bytes: a line of JSON, and behind it the arrays that it names.

What is read makes arrays and the records below, and nothing else: a file can name no other class, and no function.
"""

import json
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.format import dtype_to_descr

from workers.annotations import Boxes
from workers.evaluation.decoders import Detections
from workers.evaluation.tasks.classification import Scored
from workers.evaluation.tasks.detection import Found
from workers.evaluation.tasks.embedding import Placed
from workers.evaluation.tasks.image import Likeness
from workers.evaluation.tasks.multilabel import Marks
from workers.evaluation.tasks.other import Kept
from workers.evaluation.tasks.regression import Said
from workers.evaluation.tasks.segmentation import Maps, Overlaps
from workers.evaluation.tasks.text_lines import Edits
from workers.statistics.decisions import OutputKind, Reading

RECORDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (Boxes, Detections, Edits, Found, Kept, Likeness, Maps, Marks, Overlaps, Placed, Reading, Said, Scored)
}
PLAIN = (bool, int, float, str, type(None))


def packed(value: Any) -> bytes:
    """Lists, tuples, plain values, arrays and RECORDS. Raises KeyError for another class."""
    blobs: list[bytes] = []
    tree = _tree(value, blobs)
    return json.dumps(tree).encode() + b"\n" + b"".join(blobs)


def unpacked(content: bytes) -> Any:
    """The same again. Raises ValueError, KeyError or TypeError for what cannot be read."""
    line, _, arrays = content.partition(b"\n")
    return _Reader(arrays).read(json.loads(line))


def _tree(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, OutputKind):
        return {"kind": value.value}
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        blobs.append(np.ascontiguousarray(value).tobytes())
        return {"array": dtype_to_descr(value.dtype), "shape": value.shape}
    name = type(value).__name__
    if isinstance(value, (list, tuple)) and name in ("list", "tuple"):
        return {name: [_tree(each, blobs) for each in value]}
    parts = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else list(value)
    return {"record": RECORDS[name].__name__, "parts": [_tree(each, blobs) for each in parts]}


class _Reader:
    """Reads the arrays one after another, in the order in which they were written."""

    def __init__(self, arrays: bytes) -> None:
        self._arrays, self._at = arrays, 0

    def read(self, tree: Any) -> Any:
        if isinstance(tree, PLAIN):
            return tree
        if "kind" in tree:
            return OutputKind(tree["kind"])
        if "array" in tree:
            return self._array(_described(tree["array"]), tuple(tree["shape"]))
        if "record" in tree:
            return RECORDS[tree["record"]](*map(self.read, tree["parts"]))
        ((name, values),) = tree.items()
        found = list(map(self.read, values))
        return tuple(found) if name == "tuple" else found

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        start, self._at = self._at, self._at + dtype.itemsize * prod(shape)
        return np.frombuffer(self._arrays, dtype, prod(shape), start).reshape(shape).copy()


def _described(kind: Any) -> np.dtype[Any]:
    """JSON has lists where NumPy's description of a structure has pairs. Raises ValueError for arrays of objects."""
    dtype = np.dtype(kind if isinstance(kind, str) else [tuple(part) for part in kind])
    if dtype.hasobject:
        raise ValueError
    return dtype
