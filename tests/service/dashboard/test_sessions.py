"""Signing in: sessions, forged requests, prefixes, and pages that only some may see."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.access.authentication import issue
from service.access.sessions import COOKIE, FORGERY_HEADER, issue_ticket, open_session, redeem_ticket
from tests.installation import Installation, installation
from workers.jobs.records import Role

NOBODY = "0" * 32


@contextmanager
def signed_in(service: Installation, role: Role, **headers: str) -> Iterator[httpx.Client]:
    """A browser after its login; `headers` as a proxy adds them."""
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as http:
        fields = {"csrf": token(http.get("/ui/login")), "key": service.keys[role]}
        assert http.post("/ui/login", data=fields).status_code == 303
        yield http


def token(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found
    return found[1]


def test_pages_are_closed_to_strangers(service: Installation) -> None:
    with service.http(None) as http:
        response = http.get("/ui/?state=failed")
        assert (response.status_code, response.headers["location"]) == (303, "/ui/login?next=%2Fui%2F%3Fstate%3Dfailed")


def test_the_root_is_the_dashboard(service: Installation) -> None:
    with service.http(None) as http:
        assert http.get("/").headers["location"] == "/ui/"


def test_the_policy_needs_no_relaxation(service: Installation) -> None:
    with signed_in(service, Role.VIEWER) as http:
        page = http.get("/ui/")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert not re.search(r'\son[a-z]+="|style="|<style|<script(?! src| type="module" src)', page.text.partition("<body")[2])
        assert page.headers["cache-control"] == "no-store"


def test_a_session_ends_with_its_key(service: Installation) -> None:
    key, _ = issue(service.store, "short", Role.VIEWER, "test")
    session = open_session(service.store, key.id)
    with httpx.Client(base_url=service.url, cookies={COOKIE: session}) as http:
        assert http.get("/ui/").status_code == 200
        assert http.get("/v1/whoami").json()["name"] == "short"
        service.store.keys.revoke(key.id)
        assert http.get("/ui/").status_code == 303
        assert http.get("/v1/whoami").status_code == 401


def test_a_session_expires(service: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.sessions.SESSION_S", -1.0)
    session = open_session(service.store, service.keys[Role.VIEWER].split("_")[1])
    with httpx.Client(base_url=service.url, cookies={COOKIE: session}) as http:
        assert http.get("/ui/").status_code == 303


def test_the_store_holds_no_session(service: Installation) -> None:
    session = open_session(service.store, service.keys[Role.VIEWER].split("_")[1])
    files = [path.read_bytes() for path in service.settings.data_dir.glob("fractune.db*")]
    assert files
    assert not any(session.encode() in data for data in files)


def test_forged_requests_are_declined(service: Installation) -> None:
    with signed_in(service, Role.OPERATOR) as http:
        shown = token(http.get("/ui/"))
        path = f"/ui/jobs/{NOBODY}/cancel"
        assert http.post(path, data={}).status_code == 403
        assert http.post(path, data={"csrf": "0" * 64}).status_code == 403
        assert http.post(path, data={"csrf": shown}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert http.post(path, data={"csrf": shown}).status_code == 404
        assert http.post(f"/v1/jobs/{NOBODY}:cancel").status_code == 403
        assert http.post(f"/v1/jobs/{NOBODY}:cancel", headers={FORGERY_HEADER: shown}).status_code == 404


@pytest.mark.parametrize("role", list(Role))
def test_roles_are_those_of_the_api(service: Installation, role: Role) -> None:
    with signed_in(service, role) as http:
        assert (http.get("/ui/access").status_code == 200) == (role == Role.ADMIN)
        assert (http.get("/ui/new").status_code == 200) == (role != Role.VIEWER)
        canceled = http.post(f"/ui/jobs/{NOBODY}/cancel", data={"csrf": token(http.get("/ui/"))})
        assert canceled.status_code == (403 if role == Role.VIEWER else 404)


def test_a_key_made_on_the_page_opens_and_is_revoked(service: Installation) -> None:
    with signed_in(service, Role.ADMIN) as http:
        fields = {"csrf": token(http.get("/ui/access")), "name": "from the page", "role": "viewer", "expires_in_s": "604800"}
        issued = re.search(r"fr_[0-9a-f]{12}_[A-Za-z0-9_-]+", http.post("/ui/access", data=fields).text)
        assert issued
        bearer = {"Authorization": f"Bearer {issued[0]}"}
        with httpx.Client(base_url=service.url, headers=bearer) as other:
            assert other.get("/v1/whoami").json()["role"] == "viewer"
            http.post(f"/ui/access/{issued[0].split('_')[1]}/revoke", data={"csrf": fields["csrf"]})
            assert other.get("/v1/whoami").status_code == 401


@pytest.mark.parametrize("next_page", ["https://elsewhere.example/", "//elsewhere.example/", "/ui/\\elsewhere", "/v1/keys"])
def test_a_login_leads_nowhere_else(service: Installation, next_page: str) -> None:
    with service.http(None) as http:
        fields = {"csrf": token(http.get("/ui/login")), "key": service.keys[Role.VIEWER], "next": next_page}
        assert http.post("/ui/login", data=fields).headers["location"] == "/ui/"


def test_a_proxy_tells_its_prefix_and_tls(service: Installation) -> None:
    told = {"X-Forwarded-Prefix": "/tools/fractune", "X-Forwarded-Proto": "https"}
    with httpx.Client(base_url=service.url, headers=told) as http:
        page = http.get("/ui/login")
        assert 'action="/tools/fractune/ui/login"' in page.text
        assert "Secure" in page.headers["set-cookie"]
        assert "Path=/tools/fractune/" in page.headers["set-cookie"]
        assert http.get("/").headers["location"] == "/tools/fractune/ui/"


@pytest.mark.parametrize("prefix", ["//elsewhere.example", "/a b", "https://x", '/"><script>'])
def test_a_malformed_prefix_is_ignored(service: Installation, prefix: str) -> None:
    with httpx.Client(base_url=service.url, headers={"X-Forwarded-Prefix": prefix}) as http:
        assert 'action="/ui/login"' in http.get("/ui/login").text


@pytest.mark.parametrize("path", ["/ui/login", "/prefixed/ui/login"])
def test_a_configured_prefix_holds_whether_or_not_the_proxy_takes_it_off(path: str) -> None:
    with installation(root_path="/prefixed") as service, service.http(None) as http:
        assert 'action="/prefixed/ui/login"' in http.get(path).text
        assert http.get("/v1/whoami").status_code == 401


def test_without_authentication_forms_are_guarded_all_the_same() -> None:
    with installation(auth=False) as service, service.http(None) as http:
        shown = token(http.get("/ui/new"))
        assert http.post(f"/ui/jobs/{NOBODY}/cancel", data={}).status_code == 403
        assert http.post(f"/ui/jobs/{NOBODY}/cancel", data={"csrf": shown}).status_code == 404


def test_a_link_signs_in_once_and_opens_nothing_else(service: Installation) -> None:
    with service.http(Role.OPERATOR) as http:
        path = http.post("/v1/signin-links").json()["path"]
    carried = path.partition("#")[2]
    with httpx.Client(base_url=service.url, cookies={COOKIE: carried.removeprefix("once_")}) as thief:
        assert thief.get("/ui/").status_code == 303
        assert thief.get("/v1/whoami").status_code == 401
    with httpx.Client(base_url=service.url) as bearer:
        assert bearer.get("/v1/whoami", headers={"Authorization": f"Bearer {carried}"}).status_code == 401
    with httpx.Client(base_url=service.url) as http:
        shown = token(http.get("/ui/login"))
        assert http.post("/ui/login", data={"csrf": shown, "key": carried}).status_code == 303
        assert http.get("/v1/whoami").json()["role"] == Role.OPERATOR
    with httpx.Client(base_url=service.url) as late:
        shown = token(late.get("/ui/login"))
        assert late.post("/ui/login", data={"csrf": shown, "key": carried}).status_code == 401


def test_a_link_is_good_for_minutes(service: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.sessions.TICKET_S", -1.0)
    ticket = issue_ticket(service.store, service.keys[Role.VIEWER].split("_")[1])
    assert redeem_ticket(service.store, ticket) is None


def test_what_changes_nothing_does_not_fill_the_audit_log(service: Installation) -> None:
    with signed_in(service, Role.OPERATOR) as http:
        csrf = token(http.get("/ui/new"))
        before = len(service.store.audit.page(limit=200))
        for _ in range(5):
            assert http.post("/ui/new/preview", data={"csrf": csrf}).status_code == 200
        time.sleep(0.2)  # nothing is noted once the answer has left, either
        assert len(service.store.audit.page(limit=200)) == before
        assert http.post("/ui/new/preview", data={"csrf": "forged"}).status_code == 403
        assert service.store.audit.page(limit=1)[0].action == "POST /new/preview"
