"""Protocol buffers written without a schema: models in formats whose own libraries are too large to test with."""


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def message(**parts: int | bytes) -> bytes:
    """A protocol buffer; f3=b"x" is field 3."""
    encoded = b""
    for field, value in parts.items():
        key = int(field[1:]) << 3
        encoded += varint(key) + varint(value) if isinstance(value, int) else varint(key | 2) + varint(len(value)) + value
    return encoded
