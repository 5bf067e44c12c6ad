"""What a TFLite file calls its outputs, read before OpenVINO sees it: of several of one name it keeps one."""

import mmap
from collections import Counter
from pathlib import Path
from struct import error, unpack_from

from workers.errors import UnreadableModel

SUBGRAPHS = 2  # slot in the table of a model
TENSORS, OUTPUTS = 0, 2  # in that of a subgraph
NAME = 3  # in that of a tensor


def check_output_names(path: Path) -> None:
    """Raise UnreadableModel for outputs of the same name. A damaged file is left to OpenVINO."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            names = _output_names(content)
        except error:
            return
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UnreadableModel(
            f"{names.count(twice[0])} outputs of the model are called {twice[0]!r}: OpenVINO reads only one of them.",
            hint="Convert the model again with outputs of different names.",
        )


def _output_names(content: mmap.mmap) -> list[str]:
    graph = _followed(content, _item(_vector(content, _followed(content, 0), SUBGRAPHS), 0))
    tensors, outputs = _vector(content, graph, TENSORS), _vector(content, graph, OUTPUTS)
    (count,) = unpack_from("<I", content, outputs)
    names = []
    for number in range(count):
        (index,) = unpack_from("<i", content, _item(outputs, number))
        name = _vector(content, _followed(content, _item(tensors, index)), NAME)
        (length,) = unpack_from("<I", content, name)
        names.append(content[name + 4 : name + 4 + length].decode(errors="replace"))
    return names


def _vector(content: mmap.mmap, table: int, slot: int) -> int:
    """Where the vector or string in a slot of a table begins."""
    (back,) = unpack_from("<i", content, table)
    size, _ = unpack_from("<HH", content, table - back)
    place = 4 + 2 * slot
    if place >= size:
        raise error("the table has no such slot")
    (offset,) = unpack_from("<H", content, table - back + place)
    return _followed(content, table + offset)


def _followed(content: mmap.mmap, place: int) -> int:
    (offset,) = unpack_from("<I", content, place)
    return place + int(offset)


def _item(vector: int, number: int) -> int:
    return vector + 4 + 4 * number
