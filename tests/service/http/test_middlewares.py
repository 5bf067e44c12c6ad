"""What stands before the routes: headers, prefixes, deadlines, throttles; and the schemas of what clients send."""

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access import throttle
from service.access.throttle import Throttle, Turnstile
from service.http.deadline import Deadline
from service.http.headers import Careful
from service.http.prefix import Prefixed
from service.http.schemas import JobCreate, KeyCreate, UploadCreate, WebhookCreate
from workers.errors import NotFound, RateLimited, Unavailable

Headers = list[tuple[bytes, bytes]]


def answering(status: int, headers: Headers, body: bytes = b"body") -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def sent(app: ASGIApp, **scope: Any) -> tuple[int, dict[str, str], bytes]:
    """What goes out."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def call() -> None:
        await app({"type": "http", "method": "GET", "path": "/", "headers": [], **scope}, receive, send)

    asyncio.run(call())
    start, *rest = messages
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    assert len(headers) == len(start["headers"]), "a header twice"
    return start["status"], headers, b"".join(message.get("body", b"") for message in rest)


def test_answers_are_neither_stored_nor_guessed_at() -> None:
    status, headers, body = sent(Careful(answering(200, [(b"content-type", b"application/json")])))
    assert (status, body) == (200, b"body")
    assert headers == {"content-type": "application/json", "x-content-type-options": "nosniff", "cache-control": "no-store"}


def test_an_answer_that_says_so_itself_may_be_stored() -> None:
    assert sent(Careful(answering(200, [(b"Cache-Control", b"max-age=60")])))[1]["cache-control"] == "max-age=60"


def test_the_one_plain_refusal_of_the_framework_becomes_a_problem() -> None:
    status, headers, body = sent(Careful(answering(413, [(b"content-type", b"text/plain; charset=utf-8")])))
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert json.loads(body)["code"] == "TOO_LARGE"
    ours = answering(413, [(b"content-type", b"application/problem+json")], b"{}")
    assert sent(Careful(ours))[2] == b"{}"


# prefixes


def seen(configured: str, path: str, *forwarded: bytes) -> tuple[str, str]:
    found: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.update(scope)
        await answering(200, [])(scope, receive, send)

    sent(Prefixed(app, configured), path=path, headers=[(b"x-forwarded-prefix", value) for value in forwarded])
    return found["root_path"], found["path"]


@pytest.mark.parametrize(
    ("configured", "path", "forwarded", "expected"),
    [
        ("", "/v1/jobs", (), ("", "/v1/jobs")),
        ("/tools/fractune", "/v1/jobs", (), ("/tools/fractune", "/tools/fractune/v1/jobs")),
        ("/tools/fractune/", "/tools/fractune/v1/jobs", (), ("/tools/fractune", "/tools/fractune/v1/jobs")),
        ("", "/v1/jobs", (b"/a/",), ("/a", "/a/v1/jobs")),
        ("", "/a/v1/jobs", (b"/a",), ("/a", "/a/v1/jobs")),
        ("", "/ab/v1", (b"/a",), ("/a", "/a/ab/v1")),  # not the prefix, but a word that begins so
        ("/own", "/v1", (b"/a",), ("/own", "/own/v1")),
        *(
            ("", "/v1", (bad,), ("", "/v1"))
            for bad in (b"a", b"//evil.example", b"/a?b", b"/a b", b"/\xff", b"/<x>", b"/", b"")
        ),
    ],
)
def test_links_begin_with_the_prefix(
    configured: str, path: str, forwarded: tuple[bytes, ...], expected: tuple[str, str]
) -> None:
    assert seen(configured, path, *forwarded) == expected


# deadlines


def test_an_answer_in_time_is_passed_on_with_its_errors() -> None:
    ask = Deadline("store", 30)
    assert ask(lambda: 7) == 7
    with pytest.raises(NotFound, match="gone"):
        ask(_raising(NotFound("gone")))
    with pytest.raises(Unavailable, match="The store: boom"):
        ask(_raising(ValueError("boom")))


def _raising(error: Exception) -> Any:
    def call() -> None:
        raise error

    return call


def test_while_a_call_hangs_further_ones_are_declined_at_once() -> None:
    ask, released = Deadline("broker", 0.05), threading.Event()
    with pytest.raises(Unavailable, match="did not answer within 0.05 s"):
        ask(released.wait)
    called: list[int] = []
    with pytest.raises(Unavailable, match="has not answered for"):
        ask(lambda: called.append(1))
    assert called == []
    released.set()
    for thread in threading.enumerate():
        if thread.name == "broker":
            thread.join()
    assert ask(lambda: "back") == "back"


# throttles


class Clock(SimpleNamespace):
    """A steady clock that is set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    return clock


def taken(limit: Throttle, name: str = "a") -> int:
    """How many requests pass at this moment."""
    count = 0
    while True:
        try:
            limit.take(name)
        except RateLimited:
            return count
        count += 1


def test_a_minutes_requests_may_come_at_once_and_then_one_by_one(clock: Clock) -> None:
    limit = Throttle(6)
    assert taken(limit) == 6
    assert taken(limit, "b") == 6
    clock.now += 10
    assert taken(limit) == 1
    clock.now += 9.9
    assert taken(limit) == 0
    clock.now += 3600
    assert taken(limit) == 6


def test_whoever_is_refused_is_told_how_long_to_wait(clock: Clock) -> None:
    limit = Throttle(6)
    taken(limit)
    clock.now += 2.5
    with pytest.raises(RateLimited) as refused:
        limit.take("a")
    wait = int(refused.value.details["headers"]["Retry-After"])
    assert wait == 8
    clock.now += wait
    limit.take("a")


def test_strangers_without_number_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MANY", 10)
    limit = Throttle(60)
    assert taken(limit, "loud") == 60
    for number in range(32):
        clock.now += 1.0625
        limit.take(f"stranger {number}")
    assert taken(limit, "loud") == 34  # what it has spent is still known


def test_so_many_at_a_time() -> None:
    async def enter(gate: Turnstile) -> None:
        async with gate.passage("a"), gate.passage("a"), gate.passage("b"):
            with pytest.raises(RateLimited, match="2 uploads"):
                async with gate.passage("a"):
                    pass
        with pytest.raises(KeyError):
            async with gate.passage("a"):
                raise KeyError("a request that fails leaves as well")
        async with gate.passage("a"), gate.passage("a"):
            pass

    asyncio.run(enter(Turnstile(2)))


# what clients send

SHA = "a" * 64
RECIPE = {"steps": [{"method": "inq"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"model": SHA, "recipe": RECIPE},
        {"model": SHA, "recipe": RECIPE, "name": "größe " + "x" * 190, "labels": {"a/b.c-d_e": "любой text"}},
        {"model": SHA, "recipe": RECIPE, "runs_on": "isa=avx512", "priority": "high", "dataset": SHA, "evaluation": SHA},
        {"model": SHA, "recipe": RECIPE, "labels": {f"l{n}": "" for n in range(32)}},
    ],
)
def test_jobs_that_are_taken(body: dict[str, Any]) -> None:
    assert JobCreate.model_validate(body).model == SHA


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"model": "A" * 64}, "model"),
        ({"model": SHA + "\n"}, "model"),
        ({"model": "../" + "a" * 61}, "model"),
        ({"name": "x" * 201}, "name"),
        ({"name": "line\nbreak"}, "name"),
        ({"name": "\x7f"}, "name"),
        ({"labels": {f"l{n}": "" for n in range(33)}}, "labels"),
        ({"labels": {"-a": "x"}}, "labels"),
        ({"labels": {"a": "x\0"}}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"runs_on": "isa"}, "runs_on"),
        ({"runs_on": "isa="}, "runs_on"),
        ({"runs_on": "a=b=c"}, "runs_on"),
        ({"priority": "urgent"}, "priority"),
        ({"datset": SHA}, "datset"),
    ],
)
def test_jobs_that_are_not(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JobCreate.model_validate({"model": SHA, "recipe": RECIPE} | change)
    assert refused.value.errors()[0]["loc"][0] == place


@pytest.mark.parametrize("size", [0, -1, 2**53, 1.5, True, "x"])
def test_an_upload_has_a_size(size: Any) -> None:
    with pytest.raises(ValidationError):
        UploadCreate.model_validate({"kind": "model", "name": "m", "size": size, "sha256": SHA}, strict=True)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "https://", "https://x y/", "https://x/\n", "javascript:alert(1)", "https://" + "x" * 2000]
)
def test_a_webhook_has_a_plain_url(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookCreate.model_validate({"url": url})


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), 101 * 365 * 86400])
def test_a_key_expires_within_a_lifetime_or_never(seconds: float) -> None:
    assert KeyCreate.model_validate({"name": "ci", "role": "operator"}).expires_in_s is None
    with pytest.raises(ValidationError):
        KeyCreate.model_validate({"name": "ci", "role": "operator", "expires_in_s": seconds})
