"""A file out of a request, as it comes in: the raw body, or the file of a multipart form."""

from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from workers.errors import InvalidRequest
from workers.jobs.incoming import Incoming

BLOCK = 1 << 20  # bytes per trip to a thread


class FilePart:
    """The first part of a multipart form that is a file; further parts are left unread."""

    def __init__(self, boundary: bytes) -> None:
        self.name: str | None = None
        self._header = (b"", b"")
        self._inside = self._done = False
        self._data: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
            },
        )

    def feed(self, chunk: bytes) -> bytes:
        """The bytes of the file in the next chunk of the form. Raises InvalidRequest."""
        self._data.clear()
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest(f"The form cannot be read: {error}") from error
        return b"".join(self._data)

    def close(self) -> None:
        """Raises InvalidRequest when the form had no whole file."""
        if not self._done:
            raise InvalidRequest("The form has no file, or ended within it.", hint="Send it as `curl -F file=@model.onnx`.")

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _on_header_end(self) -> None:
        field, value = self._header
        self._header = (b"", b"")
        _, options = parse_options_header(value)
        if field.lower() == b"content-disposition" and b"filename" in options and self.name is None:
            self.name = options[b"filename"].decode(errors="replace")
            self._inside = True

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._data.append(data[start:end])

    def _on_part_end(self) -> None:
        self._done |= self._inside
        self._inside = False


async def receive(request: Request, incoming: Incoming) -> str | None:
    """Write the file in `request` to `incoming`; its name, if a form tells it. Raises InvalidRequest, TooLarge."""
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        async for block in _blocks(request.stream()):
            await run_sync(incoming.write, block)
        return None
    if b"boundary" not in options:
        raise InvalidRequest("The form has no boundary.")
    part = FilePart(options[b"boundary"])
    async for block in _blocks(request.stream()):
        await run_sync(incoming.write, part.feed(block))
    part.close()
    return part.name


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about BLOCK."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= BLOCK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
