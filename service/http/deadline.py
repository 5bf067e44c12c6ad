"""Calls to a part that may hang: they cost a second, not the time that its protocol would wait."""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from workers.errors import FractuneError, Unavailable


class Deadline:
    """Calls to one part; while an earlier call hangs, further ones are declined at once."""

    def __init__(self, part: str, seconds: float) -> None:
        self._part, self._seconds = part, seconds
        self._under_way: dict[int, float] = {}  # since when, by thread

    def __call__(self, call: Callable[[], Any]) -> Any:
        """`call()`. Raises Unavailable when it takes too long, else what it raises; it then goes on by itself."""
        hung = time.monotonic() - min(self._under_way.copy().values(), default=time.monotonic())
        if hung > self._seconds:
            raise Unavailable(f"The {self._part} has not answered for {hung:.0f} s.")
        answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        threading.Thread(target=self._do, args=(call, answers), name=self._part, daemon=True).start()
        try:
            done, value = answers.get(timeout=self._seconds)
        except Empty:
            raise Unavailable(f"The {self._part} did not answer within {self._seconds:g} s.") from None
        if not done:
            raise value
        return value

    def _do(self, call: Callable[[], Any], answers: "SimpleQueue[tuple[bool, Any]]") -> None:
        me = threading.get_ident()
        self._under_way[me] = time.monotonic()
        try:
            answers.put((True, call()))
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            answers.put((False, error if isinstance(error, FractuneError) else Unavailable(f"The {self._part}: {error}")))
        finally:
            del self._under_way[me]
