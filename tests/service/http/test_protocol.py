"""What a hostile client does to connections, on raw sockets against a real server."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.installation import MOST_CONNECTIONS, Installation, installation
from tests.waiting import PATIENCE_S

LIMITS = {"header_bytes": 16384, "header_s": 3.0, "body_s": 3.0, "body_rate": 100_000.0, "per_address": 50}
PROXIES = ["127.0.0.0/8"]


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation(connections=LIMITS) as service:
        yield service


def connect(service: Installation) -> socket.socket:
    url = httpx.URL(service.url)
    line = socket.create_connection((url.host, url.port), timeout=PATIENCE_S)
    line.settimeout(PATIENCE_S)
    return line


def answer(line: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem; the connection is closed after it."""
    received = b""
    try:
        while part := line.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


def test_headers_of_one_name_without_end(service: Installation) -> None:
    with connect(service) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
        line.sendall(b"a" * 40_000)
        status, problem = answer(line)
    assert (status, problem["code"]) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"b" * 100) for n in range(200)) + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["many headers", "a long address"],
)
def test_too_large_in_one_piece(service: Installation, request_: bytes) -> None:
    with connect(service) as line:
        line.sendall(request_)
        assert answer(line)[0] == 431


@pytest.mark.parametrize("half", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_request_is_not_waited_for(service: Installation, half: bytes) -> None:
    with connect(service) as line:
        line.sendall(half)
        status, problem = answer(line)
    assert (status, problem["code"]) == (408, "REQUEST_TIMEOUT")


def test_a_body_that_drips_is_given_up(service: Installation) -> None:
    with connect(service) as line:
        line.sendall(b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n")
        line.sendall(f"Authorization: {service.http().headers['Authorization']}\r\n\r\nabc".encode())
        assert answer(line)[0] == 408


def test_what_is_no_http(service: Installation) -> None:
    with connect(service) as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert answer(line)[0] == 400


def test_idle_connections_make_room(service: Installation) -> None:
    """More half-open connections than one address may have, and than there may be: whoever asks properly is answered."""
    with ExitStack() as stack:
        for _ in range(2 * MOST_CONNECTIONS):
            stack.enter_context(connect(service)).sendall(b"GET /healthz HTTP/1.1\r\n")
        assert httpx.get(f"{service.url}/healthz", timeout=PATIENCE_S).is_success


def test_a_stream_outlives_the_deadlines(service: Installation) -> None:
    """The time between a whole request and its answer is ours."""
    with service.http() as http:
        assert http.get("/readyz").status_code in (200, 503)
        assert http.get("/v1/methods").is_success


def test_a_body_beyond_the_limit_is_a_problem(service: Installation) -> None:
    with service.http() as http:
        response = http.post("/v1/jobs", content=b"[" + b" " * (2 << 20) + b"]", headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "TOO_LARGE"


@pytest.mark.parametrize("path", ["/healthz", "/v1/jobs", "/v1/nothing"])
def test_answers_are_neither_stored_nor_guessed_at(service: Installation, path: str) -> None:
    with service.http() as http:
        headers = http.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_tls_proxy_is_believed_where_it_is_trusted(trusted: bool) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    with installation(trusted_proxies=PROXIES if trusted else []) as service, service.http() as http:
        cookie = http.get("/ui/login", headers=forwarded).headers["set-cookie"]
        assert ("secure" in cookie.lower()) == trusted
        http.post("/v1/jobs/" + "0" * 32 + ":cancel", headers=forwarded)
        assert http.get("/v1/audit").json()[0]["address"] == ("203.0.113.7" if trusted else "127.0.0.1")


POST = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = {
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "an unknown encoding last": POST + b"Transfer-Encoding: chunked, xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nabcde",
    "a folded header": POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "lines without a return": POST.replace(b"\r", b"") + b"Content-Length: 0\n\n",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a zero byte": POST + b"X: a\0b\r\n\r\n",
    "two hosts": POST + b"Host: y\r\n\r\n",
}


@pytest.mark.parametrize("request_", SMUGGLED.values(), ids=SMUGGLED)
def test_what_a_proxy_may_read_otherwise_is_no_request(service: Installation, request_: bytes) -> None:
    with connect(service) as line:
        line.sendall(request_)
        assert answer(line)[0] == 400
