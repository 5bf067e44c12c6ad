"""Requests to the service that outlive a service that is away for a moment."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from workers import errors

TIMEOUT = httpx.Timeout(30, read=120)
BUSY = frozenset({429, 502, 503, 504})
BARE = {401: errors.Unauthenticated, 403: errors.Forbidden, 404: errors.NotFound}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class Connection:
    """HTTP to one service; whatever it declines is raised as the error of workers.errors with the same code."""

    def __init__(self, url: str, key: str | None, patience_s: float) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        secure = url.startswith("https:")  # else nothing is verified, and reading the certificates takes longer than a request
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT, verify=secure)
        self._patience_s = patience_s

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, *, patient: bool = True, **options: Any) -> httpx.Response:
        """The response, if it is a success. Raises FractuneError, or httpx.TransportError after `patience_s` seconds.

        A request is sent again when the service was away or busy, so it must be one that may be repeated.
        """
        deadline = time.monotonic() + (self._patience_s if patient else 0)
        pause = FIRST_PAUSE_S
        while True:
            late = time.monotonic() >= deadline
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError:
                if late:
                    raise
            else:
                if late or response.status_code not in BUSY:
                    return _checked(response)
                pause = max(pause, _asked_to_wait(response))
            time.sleep(max(0.0, min(random.uniform(pause / 2, pause), deadline - time.monotonic())))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """A response whose body comes in pieces. Raises FractuneError, httpx.TransportError."""
        with self._http.stream(method, path, **options) as response:
            if not response.is_success:
                response.read()
            yield _checked(response)


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds of Retry-After; none where a proxy gives a date instead, or nonsense."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _checked(response: httpx.Response) -> httpx.Response:
    """Raises FractuneError unless the response is a success."""
    if response.is_success:
        return response
    if response.content and response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = _problem(response)
        if "code" in problem:
            raise errors.by_code().get(problem["code"], errors.RequestError)(
                problem.get("detail"), hint=problem.get("hint"), errors=problem.get("errors", []), status=response.status_code
            )
    kind = BARE.get(response.status_code, errors.Unavailable)  # the answer to HEAD, or another server's
    raise kind(f"{response.request.method} {response.url} answered {response.status_code}.", hint="Is this Fractune's URL?")


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The body as an object; empty where it is none."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
