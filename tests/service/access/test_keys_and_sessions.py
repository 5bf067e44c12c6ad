"""Keys as text, sessions and tickets as tokens: what opens, and what does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import Request, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.access import sessions
from service.access.authentication import Principal, issue, verify_key
from service.client import files_of_point
from workers.errors import NotFound, Unauthenticated
from workers.jobs.database.scope import Scope
from workers.jobs.records import Role
from workers.jobs.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all tests of the module, each with keys of its own."""
    made = Store(f"sqlite:///{Path(tmp_path_factory.mktemp('keys'))}/fractune.db")
    made.migrate()
    yield made
    made.close()


def request(method: str = "POST", scheme: str = "https", **headers: str) -> Request:
    told = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "scheme": scheme,
        "headers": told,
        "server": ("host", 443),
        "query_string": b"",
    }
    return Request(scope)


def test_a_key_opens_what_its_holder_may(store: Store) -> None:
    key, text = issue(store, "ci", Role.OPERATOR, "me", project="vision")
    assert verify_key(store, text) == Principal(key.id, "ci", Role.OPERATOR, "vision")
    assert text.startswith(f"fr_{key.id}_")
    assert len(text.split("_", 2)[2]) > 40


def test_no_two_keys_are_alike(store: Store) -> None:
    assert len({issue(store, "x", Role.VIEWER, "me")[1] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "change",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key.upper(),
        lambda key: key.replace("fr_", "fx_", 1),
        lambda key: key.replace("fr_", "", 1),
        lambda key: " " + key,
        lambda key: key.rpartition("_")[0] + "_",
        lambda key: f"fr__{key.split('_', 2)[2]}",
        lambda key: f"fr_{key.split('_')[1]}' OR '1'='1_{key.rpartition('_')[2]}",
        lambda key: f"fr_{'0' * 12}_{key.split('_', 2)[2]}",
    ],
)
def test_anything_else_opens_nothing_and_is_told_nothing(store: Store, change: object) -> None:
    _, text = issue(store, "ci", Role.ADMIN, "me")
    assert callable(change)
    with pytest.raises(Unauthenticated) as refused:
        verify_key(store, change(text))
    assert refused.value.message == Unauthenticated().message


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_no_text_breaks_the_door(store: Store, text: str) -> None:
    for tried in (text, f"fr_{text}", f"fr_0123456789ab_{text}"):
        with pytest.raises(Unauthenticated):
            verify_key(store, tried)
    assert sessions.holder(store, text) is None
    assert sessions.redeem_ticket(store, text) is None


def test_a_revoked_and_an_expired_key_open_nothing(store: Store) -> None:
    key, text = issue(store, "ci", Role.VIEWER, "me")
    store.keys.revoke(key.id)
    for closed in (text, issue(store, "ci", Role.VIEWER, "me", expires_in_s=-1)[1]):
        with pytest.raises(Unauthenticated):
            verify_key(store, closed)


@pytest.mark.parametrize(("role", "may"), [(Role.VIEWER, 1), (Role.OPERATOR, 2), (Role.ADMIN, 3)])
def test_a_role_may_what_the_ones_below_it_may(role: Role, may: int) -> None:
    principal = Principal("id", "name", role, "vision")
    assert [principal.may(other) for other in Role] == [number < may for number in range(3)]
    assert principal.scope == Scope("vision", everything=role == Role.ADMIN)


# sessions and tickets


def test_a_session_opens_with_its_token_alone(store: Store) -> None:
    key, text = issue(store, "me", Role.VIEWER, "me")
    token = sessions.open_session(store, key.id)
    held = sessions.holder(store, token)
    assert held is not None
    assert held.id == key.id
    for other in (token[:-1], token.upper(), sessions.forgery_token(token), text, ""):
        assert sessions.holder(store, other) is None
    assert [sessions.close_session(store, token) for _ in range(2)] == [True, False]
    assert sessions.holder(store, token) is None


def test_a_ticket_is_no_session_and_a_session_no_ticket(store: Store) -> None:
    key, _ = issue(store, "me", Role.VIEWER, "me")
    token, ticket = sessions.open_session(store, key.id), sessions.issue_ticket(store, key.id)
    assert sessions.holder(store, ticket) is None
    assert sessions.redeem_ticket(store, token) is None
    redeemed = sessions.redeem_ticket(store, ticket)
    assert redeemed is not None
    assert (redeemed.id, sessions.redeem_ticket(store, ticket)) == (key.id, None)


@pytest.mark.parametrize(
    ("site", "ours"),
    [(None, True), ("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False), ("", False)],
)
def test_a_request_from_another_site_is_not_ours(site: str | None, ours: bool) -> None:
    asked = request(**({} if site is None else {"sec_fetch_site": site}))
    assert sessions.is_ours(asked, "token", sessions.forgery_token("token")) == ours


@pytest.mark.parametrize(
    "shown", ["", "token", "é", "\udcff", sessions.forgery_token("other"), sessions.forgery_token("token") + " "]
)
def test_a_request_without_the_token_of_its_page_is_not_ours(shown: str) -> None:
    assert not sessions.is_ours(request(), "token", shown)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cookie_is_kept_from_scripts_and_other_sites(scheme: str) -> None:
    response = Response()
    sessions.set_cookie(response, request(scheme=scheme), "token", "/tools/")
    cookie = response.headers["set-cookie"].lower()
    for part in (f"{sessions.COOKIE}=token", "httponly", "samesite=lax", "path=/tools/"):
        assert part in cookie
    assert ("secure" in cookie) == (scheme == "https")


# what a client saves of a front


def test_the_files_of_a_point_lie_in_a_folder_of_their_own() -> None:
    names = ["report.json", "1/model.xml", "points/0.5/1/model.xml", "points/0.5/1/model.bin", "points/0.55/1/model.xml"]
    assert files_of_point(names, "0.5") == [
        ("points/0.5/1/model.xml", "1/model.xml"),
        ("points/0.5/1/model.bin", "1/model.bin"),
    ]
    with pytest.raises(NotFound, match=r"no point '0\.7'") as refused:
        files_of_point(names, "0.7")
    assert refused.value.hint == "It has 0.5, 0.55."
    with pytest.raises(NotFound) as refused:
        files_of_point(names[:2], "0.5")
    assert refused.value.hint == "It made no front."
