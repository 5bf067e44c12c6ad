"""A client's requests: sent again while the service is away, and its refusals raised as what they are."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from service.http.connection import Connection
from workers import errors

Answer = tuple[int, dict[str, str], bytes]
PROBLEM = {"Content-Type": "application/problem+json"}


class Scripted(BaseHTTPRequestHandler):
    """Gives the answers of its server in turn, the last one again and again."""

    answers: list[Answer]
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        """Any request."""
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[str, list[tuple[str, str | None]]]]]:
    """Starts a server of the given answers; its URL, and what it is asked."""
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Answer) -> tuple[str, list[tuple[str, str | None]]]:
        handler = type("Handler", (Scripted,), {"answers": list(answers), "asked": []})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/", handler.asked  # type: ignore[attr-defined]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(url: str, method: str = "GET", patience_s: float = 30, **options: Any) -> httpx.Response:
    connection = Connection(url, "secret", patience_s)
    try:
        return connection.request(method, "/v1/x", **options)
    finally:
        connection.close()


def problem(code: str, **others: Any) -> bytes:
    return json.dumps({"code": code, "detail": "why", "hint": "what helps", "errors": [], **others}).encode()


OK: Answer = (200, {}, b"fine")


def test_a_key_goes_with_every_request_to_one_url(serve: Any) -> None:
    url, heard = serve(OK)
    assert asked(url).content == b"fine"
    assert heard == [("/v1/x", "Bearer secret")]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    "headers", [{}, {"Retry-After": "0"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {"Retry-After": "-1"}]
)
def test_a_service_that_is_busy_is_asked_again(serve: Any, status: int, headers: dict[str, str]) -> None:
    url, heard = serve((status, headers, b""), OK)
    assert asked(url).content == b"fine"
    assert len(heard) == 2


def test_patience_ends_before_a_wait_that_is_longer(serve: Any) -> None:
    url, heard = serve((503, {"Retry-After": "86400"}, b""))
    with pytest.raises(errors.Unavailable, match="answered 503"):
        asked(url, patience_s=0.3)
    assert len(heard) == 2


def test_who_is_not_patient_is_answered_at_once(serve: Any) -> None:
    url, heard = serve((503, {}, b""), OK)
    with pytest.raises(errors.Unavailable):
        asked(url, patient=False)
    assert len(heard) == 1


def test_a_service_that_is_not_there_is_told_by_its_transport() -> None:
    with pytest.raises(httpx.TransportError):
        asked("http://127.0.0.1:9", patience_s=0.1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("NOT_FOUND", errors.NotFound), ("MODEL_UNREADABLE", errors.UnreadableModel), ("OF_TOMORROW", errors.RequestError)],
)
def test_a_refusal_is_raised_as_what_it_is(serve: Any, code: str, kind: type[errors.FractuneError]) -> None:
    url, _ = serve((400, PROBLEM, problem(code, errors=[{"place": "steps"}])))
    with pytest.raises(kind, match="why") as refused:
        asked(url)
    assert type(refused.value) is kind
    assert (refused.value.hint, refused.value.details["status"]) == ("what helps", 400)
    assert refused.value.details["errors"] == [{"place": "steps"}]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((404, {}, b"<html>nginx</html>"), errors.NotFound),
        ((401, {}, b""), errors.Unauthenticated),
        ((403, {}, b""), errors.Forbidden),
        ((500, {}, b"oops"), errors.Unavailable),
        ((404, PROBLEM, b'{"type": "about:blank", "title": "Not Found"}'), errors.NotFound),  # another server's
        ((404, PROBLEM, b"[1]"), errors.NotFound),
        ((404, PROBLEM, b"{"), errors.NotFound),
        ((302, {"Location": "https://login.example/"}, b""), errors.Unavailable),
    ],
)
def test_what_another_server_answers_asks_for_the_right_url(
    serve: Any, answer: Answer, kind: type[errors.FractuneError]
) -> None:
    url, _ = serve(answer)
    with pytest.raises(kind, match=rf"GET {url}v1/x answered {answer[0]}") as refused:
        asked(url)
    assert refused.value.hint == "Is this Fractune's URL?"


def test_a_problem_of_few_words_has_those_of_its_kind(serve: Any) -> None:
    url, _ = serve((409, PROBLEM, b'{"code": "CONFLICT"}'))
    with pytest.raises(errors.Conflict) as refused:
        asked(url)
    assert (refused.value.message, refused.value.hint) == (errors.Conflict().message, errors.Conflict.hint)


def test_an_answer_without_a_body_is_told_by_its_status(serve: Any) -> None:
    url, _ = serve((404, PROBLEM, problem("NOT_FOUND")))
    with pytest.raises(errors.NotFound, match="answered 404"):
        asked(url, "HEAD")


def test_a_stream_is_checked_before_it_is_read(serve: Any) -> None:
    url, _ = serve((404, PROBLEM, problem("NOT_FOUND")), OK)
    connection = Connection(url, None, 0)
    with pytest.raises(errors.NotFound, match="why"), connection.stream("GET", "/v1/x"):
        pass
    with connection.stream("GET", "/v1/x") as response:
        assert response.read() == b"fine"
    connection.close()
