"""The protocol-buffer wire format, read without a schema: enough to tell whose message a file holds, and what it refers to."""

from collections.abc import Iterator, Mapping

Value = int | memoryview


class Malformed(ValueError):
    """The bytes are not a protocol buffer."""


class Truncated(Malformed):
    """The message ends inside a field."""

    def __init__(self, field: int, message: str) -> None:
        super().__init__(message)
        self.field = field


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Field numbers and values of a message: int for varints, the bytes for all else, nested messages unopened.

    Raises Malformed, or Truncated, at the field where reading fails.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if number == 0 or number >= 2**29:
            raise Malformed(f"field number {number} at byte {position}")
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Malformed(f"wire type {kind} at byte {position}")
        if position + size > len(message):
            raise Truncated(number, f"its field {number} needs {size} bytes, and {len(message) - position} are left")
        yield number, message[position : position + size]
        position += size


Schema = Mapping[int, str]  # the field numbers to follow, and the kind of message each holds


def walk(message: memoryview, kind: str, schemas: Mapping[str, Schema], depth: int = 100) -> Iterator[tuple[str, int, Value]]:
    """Every field (kind of its message, number, value) of a message and of those nested in it that `schemas` names."""
    if depth == 0:
        raise Malformed("messages are nested too deep")
    for number, value in fields(message):
        yield kind, number, value
        if number in schemas.get(kind, {}) and isinstance(value, memoryview):
            yield from walk(value, schemas[kind][number], schemas, depth - 1)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift, byte in enumerate(message[position : position + 10]):
        result |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return result, position + shift + 1
    raise Malformed(f"no number at byte {position}")
