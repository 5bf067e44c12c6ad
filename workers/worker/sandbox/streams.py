"""What a child says: events on its standard output, a log on its standard error, both with a ceiling."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
LINE_BYTES = 1 << 20  # longest event
OUTPUT_BYTES = 64 << 20  # all events of a job
LOG_BYTES = 8 << 20  # beginning of the log that is kept
TAIL_BYTES = 64 << 10  # end of the log that is kept


def strict_json(text: bytes | str) -> Any:
    """What a child has written as JSON, if others can write it again.

    Raises ValueError, of which UnicodeEncodeError is one, for NaN, infinity and halves of characters; RecursionError.
    """
    value = json.loads(text, parse_constant=_refuse)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


class Log:
    """The child's standard error in a file: its beginning as it comes, its end when it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._room = LOG_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take what came through the pipe."""
        head = data[: self._room]
        self._file.write(head)
        self._file.flush()
        self._room -= len(head)
        self._dropped += len(data) - len(head)
        self._tail.append(data)
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())

    def note(self, line: str) -> None:
        """Add a remark of the parent."""
        self.feed(f"[sandbox] {line}\n".encode())

    def tail(self) -> str:
        """The last of the log, at most TAIL_BYTES of it."""
        return b"".join(self._tail)[-TAIL_BYTES:].decode(errors="replace")

    def close(self) -> None:
        """Write the end of a log that was too long."""
        end = b"".join(self._tail)[-min(TAIL_BYTES, self._dropped) :] if self._dropped else b""
        if self._dropped > len(end):
            self._file.write(f"\n[sandbox] {self._dropped - len(end)} bytes left out\n".encode())
        self._file.write(end)
        self._file.close()


class Events:
    """The child's standard output, cut into events. Lines that are none are noted."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._rest = b""
        self._received = 0

    @property
    def flooded(self) -> bool:
        """Whether the child has written more than any job has to say."""
        return self._received > OUTPUT_BYTES or len(self._rest) > LINE_BYTES

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order."""
        self._received += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines if (event := self._parse(line)) is not None]

    def _parse(self, line: bytes) -> Event | None:
        try:
            event = strict_json(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
        if line.strip():
            self._note(f"not an event: {line[:200].decode(errors='replace')}")
        return None
