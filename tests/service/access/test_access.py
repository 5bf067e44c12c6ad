"""Who may do what: every route of the OpenAPI, with every role."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.access.authentication import issue
from service.access.sessions import COOKIE, close_session, open_session
from service.app import create_app
from tests.installation import Installation, installation, settings_in
from tests.waiting import PATIENCE_S, until
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import keys
from workers.jobs.records import Role

OPEN = {("get", "/healthz"), ("get", "/readyz")}
ADMIN = re.compile(r"/v1/(apikeys|audit|webhooks)\b")
NEEDED = {"get": Role.VIEWER, "head": Role.VIEWER}  # else OPERATOR
RANKS = list(Role)


def operations() -> list[tuple[str, str]]:
    schema = create_app(settings_in(Path("/nowhere"))).openapi()
    return [(method, path) for path, item in schema["paths"].items() for method in item]


def needed(method: str, path: str) -> Role | None:
    if (method, path) in OPEN:
        return None
    if ADMIN.match(path):
        return Role.ADMIN
    if path == "/v1/signin-links":
        return Role.VIEWER
    return Role.OPERATOR if path.startswith("/v1/uploads") else NEEDED.get(method, Role.OPERATOR)


def request(http: httpx.Client, method: str, path: str) -> httpx.Response:
    """With identifiers that name nothing and bodies that are not valid: only access is decided."""
    values = {"job_id": "0" * 32, "sha256": "0" * 64, "upload_id": "0" * 32, "key_id": "0" * 12, "webhook_id": "0" * 32}
    path = path.format(**values, delivery_id="msg_" + "0" * 32, name="x")
    return http.request(method, path, json={} if method in {"post", "put", "patch"} else None)


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_route_asks_for_its_role(service: Installation, method: str, path: str) -> None:
    role = needed(method, path)
    with service.http(None) as stranger:
        assert (request(stranger, method, path).status_code == 401) == (role is not None)
    for held in Role:
        with service.http(held) as http:
            allowed = role is None or RANKS.index(held) >= RANKS.index(role)
            status = request(http, method, path).status_code
            assert (status == 403) == (not allowed)
            assert status != 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer fr_",
        "Bearer fr_000000000000_x",
        "Bearer fr_{id}_wrong",
        "Basic fr_{id}_{secret}",
        "Bearer {id}",
        "Bearer fr_{id}_{secret}x",
    ],
)
def test_a_wrong_key_is_told_nothing(service: Installation, header: str) -> None:
    _, key_id, secret = service.keys[Role.ADMIN].split("_", 2)
    with service.http(None) as http:
        response = http.get("/v1/jobs", headers={b"Authorization": header.format(id=key_id, secret=secret).encode()})
    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json()["detail"] == "The request carries no valid API key."


def test_a_key_is_shown_once_works_and_is_revoked(admin: httpx.Client, service: Installation) -> None:
    created = admin.post("/v1/apikeys", json={"name": "ci", "role": "viewer"}).json()
    bearer = {"Authorization": f"Bearer {created['key']}"}
    with service.http(None) as http:
        expected = {"id": created["id"], "name": "ci", "role": "viewer", "project": "common"}
        assert http.get("/v1/whoami", headers=bearer).json() == expected
        [listed] = [key for key in admin.get("/v1/apikeys").json()["items"] if key["id"] == created["id"]]
        assert listed["used_at"] is not None
        assert created["key"].split("_", 2)[2] not in str(listed)
        assert admin.delete(f"/v1/apikeys/{created['id']}").json()["revoked_at"] is not None
        assert http.get("/v1/whoami", headers=bearer).status_code == 401


def test_a_key_expires(service: Installation) -> None:
    _, text = issue(service.store, "short", Role.VIEWER, "test", expires_in_s=PATIENCE_S)
    with service.http(None) as http:
        bearer = {"Authorization": f"Bearer {text}"}
        assert http.get("/v1/whoami", headers=bearer).status_code == 200
        with Database(service.settings.database).write() as connection:
            connection.execute(update(keys).where(keys.c.name == "short").values(expires_at=now() - 1))
        assert http.get("/v1/whoami", headers=bearer).status_code == 401


def test_the_store_holds_no_key(service: Installation) -> None:
    files = [path.read_bytes() for path in service.settings.data_dir.glob("fractune.db*")]
    assert files
    for text in service.keys.values():
        assert not any(text.split("_", 2)[2].encode() in data for data in files)


def test_whoever_changes_something_is_noted(admin: httpx.Client, http: httpx.Client, service: Installation) -> None:
    http.post("/v1/jobs/" + "0" * 32 + ":cancel")
    http.post("/v1/apikeys", json={"name": "more", "role": "admin"})
    me = http.get("/v1/whoami").json()["id"]
    entries: list[dict[str, Any]] = admin.get("/v1/audit", params={"actor": me, "limit": 2}).json()
    assert [(entry["action"], entry["status"]) for entry in entries] == [
        ("POST /v1/apikeys", 403),
        ("POST /v1/jobs/{job_id}:cancel", 404),
    ]
    assert entries[1]["target"] == "/v1/jobs/" + "0" * 32 + ":cancel"
    older = admin.get("/v1/audit", params={"before": entries[1]["id"]}).json()
    assert all(entry["id"] < entries[1]["id"] for entry in older)


def test_too_many_requests_are_declined() -> None:
    with installation(rate_limit=6) as service, service.http(Role.VIEWER) as http:
        assert {http.get("/v1/whoami").status_code for _ in range(6)} == {200}
        answers = (http.get("/v1/whoami") for _ in range(100))  # on a busy machine a few more may have become due
        declined = next(answer for answer in answers if answer.status_code != 200)
        assert (declined.status_code, declined.json()["code"]) == (429, "RATE_LIMITED")
        assert int(declined.headers["Retry-After"]) >= 1
        with service.http(Role.OPERATOR) as other:
            assert other.get("/v1/whoami").status_code == 200


def test_guessing_keys_is_slow() -> None:
    with installation() as service, service.http(None) as http, service.http(Role.VIEWER) as neighbour:
        guess = {"Authorization": "Bearer fr_0_0"}
        assert http.get("/v1/whoami", headers=guess).status_code == 401
        more = (http.get("/v1/whoami", headers=guess).status_code for _ in range(5000))  # a slow machine earns some back
        assert 429 in more
        assert neighbour.get("/v1/whoami").status_code == 200


def test_authentication_can_be_turned_off() -> None:
    with installation(auth=False) as service, service.http(None) as http:
        assert http.get("/v1/whoami").json()["role"] == "admin"


def test_long_requests_of_one_key_leave_room_to_others() -> None:
    with installation(connections={"per_key": 3}) as service, ExitStack() as stack:
        http = stack.enter_context(service.http(Role.OPERATOR))
        other = stack.enter_context(service.http(Role.ADMIN))
        model = http.post("/v1/models", content=b"x").json()["sha256"]
        path = f"/v1/jobs/{http.get(f'/v1/models/{model}').json()['job_id']}/events"
        streams = [http.stream("GET", path) for _ in range(3)]
        for stream in streams[1:]:
            assert stack.enter_context(stream).status_code == 200
        with streams[0] as first:
            assert first.status_code == 200
            declined = http.get(path)
            assert (declined.status_code, declined.json()["code"]) == (429, "RATE_LIMITED")
            assert http.post("/v1/models", content=b"y").status_code == 429
            assert http.get("/v1/jobs").status_code == other.post("/v1/models", content=b"z").status_code - 1 == 200
        until(lambda: http.post("/v1/models", content=b"y").status_code == 201)


@pytest.mark.parametrize("path", ["/v1/jobs/{job}/events", "/ui/live/jobs", "/ui/live/jobs/{job}", "/ui/live/workers"])
def test_a_stream_ends_with_its_session(service: Installation, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("service.access.authentication.ASK_AGAIN_S", 0.1)
    session = open_session(service.store, service.keys[Role.OPERATOR].split("_")[1])
    with service.http(Role.OPERATOR) as http:
        model = http.post("/v1/models", content=b"x").json()["sha256"]
        job = http.get(f"/v1/models/{model}").json()["job_id"]
    with (
        httpx.Client(base_url=service.url, cookies={COOKIE: session}, timeout=PATIENCE_S) as browser,
        browser.stream("GET", path.format(job=job)) as stream,
    ):
        assert stream.status_code == 200
        close_session(service.store, session)
        for _ in stream.iter_bytes():
            pass  # else the client's patience ends the test
