"""Webhooks against a real HTTP server that we play."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from service.webhooks.delivery import RETRY_S, Messenger
from service.webhooks.targets import Allowed
from tests.installation import RECIPE, Installation, installation
from tests.waiting import PATIENCE_S, until
from workers.errors import Forbidden
from workers.jobs.job import Kind
from workers.jobs.records import Request
from workers.settings import Settings

LOCAL = "127.0.0.0/8"


class Target(ThreadingHTTPServer):
    """Keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.told: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?a=1"

    def until(self, count: int) -> None:
        until(lambda: len(self.told) >= count)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        target = self.server
        assert isinstance(target, Target)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target.told.append((dict(self.headers), body))
        self.send_response(target.status)
        self.send_header("Location", target.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation(webhook_targets=(LOCAL, "localhost", "example.org")) as service:
        yield service


def subscribe(admin: httpx.Client, target: Target, **body: Any) -> dict[str, Any]:
    response = admin.post("/v1/webhooks", json={"url": target.url} | body)
    assert response.status_code == 201
    created: dict[str, Any] = response.json()
    return created


def tried(admin: httpx.Client, hook: dict[str, Any], tries: int) -> bool:
    return bool(deliveries(admin, hook)[0]["tries"] == tries)


def deliveries(admin: httpx.Client, hook: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = admin.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["items"]
    return items


def settled(admin: httpx.Client, hook: dict[str, Any]) -> dict[str, Any]:
    """The latest delivery, once it has been tried."""
    until(lambda: (latest := deliveries(admin, hook)[0])["status"] is not None or latest["error"] is not None)
    return deliveries(admin, hook)[0]


def test_an_ended_job_is_told_and_signed(admin: httpx.Client, target: Target) -> None:
    hook = subscribe(admin, target)
    model = admin.post("/v1/models", content=b"m").json()["sha256"]
    job = admin.post("/v1/jobs", json={"model": model, "recipe": RECIPE, "labels": {"run": "7"}}).json()
    admin.post(f"/v1/jobs/{job['id']}:cancel")
    target.until(1)
    headers, body = target.told[0]
    told = json.loads(body)
    assert (told["type"], told["data"]["id"], told["data"]["labels"]) == ("job.canceled", job["id"], {"run": "7"})
    key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(time.time() - int(headers["webhook-timestamp"])) < PATIENCE_S
    assert settled(admin, hook)["state"] == "DELIVERED"
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_only_what_was_asked_for_is_told(admin: httpx.Client, service: Installation, target: Target) -> None:
    hook = subscribe(admin, target, events=["job.failed"])
    model = admin.post("/v1/models", content=b"m").json()["sha256"]
    job = service.store.jobs.submit(Request(Kind.COMPRESS, model, RECIPE), "me")[0]
    service.store.jobs.cancel(job.id, 30)
    assert deliveries(admin, hook) == []
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_the_secret_is_shown_once(admin: httpx.Client, target: Target) -> None:
    hook = subscribe(admin, target)
    assert hook["secret"] not in admin.get("/v1/webhooks").text
    admin.delete(f"/v1/webhooks/{hook['id']}")
    assert admin.post(f"/v1/webhooks/{hook['id']}:test").status_code == 404


def test_what_was_not_heard_is_told_again(admin: httpx.Client, service: Installation, target: Target) -> None:
    hook = subscribe(admin, target)
    target.status = 500
    admin.post(f"/v1/webhooks/{hook['id']}:test")
    first = settled(admin, hook)
    assert (first["state"], first["status"], first["tries"]) == ("PENDING", 500, 1)
    target.status = 204
    again = admin.post(f"/v1/webhooks/{hook['id']}/deliveries/{first['id']}:redeliver")
    assert again.status_code == 202
    target.until(2)
    assert [headers["webhook-id"] for headers, _ in target.told] == [first["id"]] * 2
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_in_the_end_it_is_given_up(service: Installation, admin: httpx.Client, target: Target) -> None:
    target.status = 503
    hook = subscribe(admin, target)
    admin.post(f"/v1/webhooks/{hook['id']}:test")
    settled(admin, hook)
    messenger = Messenger(service.store, Allowed(service.settings.webhook_targets))
    for tries, _ in enumerate(RETRY_S, 1):
        assert deliveries(admin, hook)[0]["state"] == "PENDING"
        with service.store.webhooks._database.write() as connection:
            connection.exec_driver_sql("UPDATE deliveries SET due_at = 0, state = 'PENDING'")
        messenger()
        messenger.settle()
        until(partial(tried, admin, hook, tries + 1))
    until(lambda: deliveries(admin, hook)[0]["state"] == "DEAD")
    assert len(target.told) == len(RETRY_S) + 1
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_a_target_that_is_gone_is_left_alone(admin: httpx.Client, target: Target) -> None:
    target.status = 410
    hook = subscribe(admin, target)
    admin.post(f"/v1/webhooks/{hook['id']}:test")
    assert settled(admin, hook)["state"] == "DEAD"
    [listed] = [each for each in admin.get("/v1/webhooks").json()["items"] if each["id"] == hook["id"]]
    assert listed["active"] is False
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_a_redirect_is_not_followed(admin: httpx.Client, target: Target) -> None:
    target.status = 307
    hook = subscribe(admin, target)
    admin.post(f"/v1/webhooks/{hook['id']}:test")
    assert settled(admin, hook)["error"] == "The target answered 307."
    assert len(target.told) == 1
    admin.delete(f"/v1/webhooks/{hook['id']}")


def test_the_name_is_kept_in_the_request_to_the_pinned_address(admin: httpx.Client, target: Target) -> None:
    url = target.url.replace("127.0.0.1", "localhost")
    hook = admin.post("/v1/webhooks", json={"url": url}).json()
    admin.post(f"/v1/webhooks/{hook['id']}:test")
    target.until(1)
    assert target.told[0][0]["Host"] == f"localhost:{target.server_port}"
    admin.delete(f"/v1/webhooks/{hook['id']}")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://no-such-host.invalid/",
    ],
)
def test_a_target_that_was_not_allowed_is_declined(admin: httpx.Client, url: str) -> None:
    response = admin.post("/v1/webhooks", json={"url": url})
    assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "http://user:pw@example.org/", "http:///x", "http://example.org:99999/", "http://[/"]
)
def test_a_url_that_is_none_is_declined(admin: httpx.Client, url: str) -> None:
    assert admin.post("/v1/webhooks", json={"url": url}).status_code == 422


def allowed(*entries: str) -> Allowed:
    return Allowed(Settings(webhook_targets=entries).webhook_targets)


def test_a_name_alone_opens_no_loopback() -> None:
    with pytest.raises(Forbidden):
        allowed("localhost").resolve("http://localhost/")
    assert str(allowed("localhost", "127.0.0.1").resolve("http://localhost:8000/").address) == "127.0.0.1"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "0.0.0.0", "::1", "fe80::1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1"),
    ],
)
def test_a_name_alone_opens_no_address_that_only_this_machine_should_reach(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A name under somebody else's control may lead anywhere; what it leads to is all that counts."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 0, "", (address, 80))]
    monkeypatch.setattr("service.webhooks.targets.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Forbidden):
        allowed("*.example.org").resolve("http://a.example.org/")
    assert allowed("*.example.org", "0.0.0.0/0", "::/0").resolve("http://a.example.org/")


@pytest.mark.parametrize(
    ("entry", "host", "listed"),
    [
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("example.org", "evilexample.org", False),
        ("EXAMPLE.org", "example.org", True),
    ],
)
def test_names_are_listed_exactly(entry: str, host: str, listed: bool) -> None:
    assert allowed(entry)._lists(host) == listed


def test_an_address_is_checked_when_it_is_used_not_when_it_was_entered(
    service: Installation, admin: httpx.Client, target: Target
) -> None:
    """What a name that changed its address since would do: the stored URL leads elsewhere by now."""
    hook = service.store.webhooks.add("http://169.254.169.254/", "whsec_AAAA", ["job.failed"], "me")
    admin.post(f"/v1/webhooks/{hook.id}:test")
    assert "may not go" in settled(admin, {"id": hook.id})["error"]


def test_a_target_that_drips_delays_nobody(admin: httpx.Client, target: Target) -> None:
    """It takes the message and answers a byte now and then, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def drip() -> None:
            with suppress(OSError):
                while True:
                    line, _ = server.accept()
                    held.append(line)
                    line.sendall(b"HTTP/1.1 2")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        slow = admin.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{server.getsockname()[1]}/"}).json()
        quick = subscribe(admin, target)
        for _ in range(8):
            admin.post(f"/v1/webhooks/{slow['id']}:test")
        until(lambda: held)
        admin.post(f"/v1/webhooks/{quick['id']}:test")
        target.until(1)
        assert {each["state"] for each in deliveries(admin, slow)} == {"PENDING"}, "the slow one is still at it"
        until(lambda: any("within" in (each["error"] or "") for each in deliveries(admin, slow)))
        for hook in (slow, quick):
            admin.delete(f"/v1/webhooks/{hook['id']}")
        server.shutdown(socket.SHUT_RDWR)
        dripping.join()
    for line in held:
        line.close()
