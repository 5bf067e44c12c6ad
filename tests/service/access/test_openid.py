"""Signing in through an identity provider: a real one over real HTTP, which lies where a test says so."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from service.access.openid import ASK_AGAIN_S, Attempt, Provider, held_values, identity_of
from service.access.sessions import COOKIE, FORGERY_HEADER
from tests.installation import Installation, installation
from tests.issuer import CLIENT, SECRET, Issuer, issuer
from tests.waiting import PATIENCE_S
from workers.errors import Forbidden, Unavailable
from workers.settings import OpenIdSettings

ROLES = {"chiefs": "admin", "engineers": "operator"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


@pytest.fixture(scope="module")
def service(provider: Issuer) -> Iterator[Installation]:
    oidc = {"issuer": provider.url, "client_id": CLIENT, "client_secret": SECRET, "name": "Example Login", "roles": ROLES}
    with installation(oidc={**oidc, "project_claim": "org.team", "projects": {"blue team": "blue", "*": "common"}}) as made:
        yield made


@pytest.fixture(autouse=True)
def honest(provider: Issuer) -> None:
    provider.claims = {"sub": "42", "preferred_username": "ada", "roles": ["engineers"], "org": {"team": ["x", "blue team"]}}
    provider.lies, provider.algorithm, provider.signing, provider.forgetful = {}, "RS256", None, False


@contextmanager
def browser(service: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as http:
        yield http


def answer(http: httpx.Client, start: str = "/ui/openid") -> str:
    """The address to which the provider sends the browser back."""
    return http.get(http.get(start).headers["location"]).headers["location"]


def whoami(http: httpx.Client) -> dict[str, Any] | None:
    response = http.get("/v1/whoami")
    return response.json() if response.is_success else None


def audit(service: Installation) -> list[tuple[str, str, int]]:
    with service.http() as admin:
        return [(each["actor"], each["action"], each["status"]) for each in admin.get("/v1/audit").json()]


def test_who_signs_in_has_the_role_and_project_of_the_claims_and_signs_out(service: Installation) -> None:
    with browser(service) as http:
        assert "Sign in with Example Login" in http.get("/ui/login").text
        back = http.get(answer(http, "/ui/openid?next=%2Fui%2Fmodels"))
        assert (back.status_code, back.headers["location"]) == (303, "/ui/models")
        me = whoami(http)
        assert me is not None
        assert (me["name"], me["role"], me["project"]) == ("ada", "operator", "blue")
        assert (me["id"], "GET /openid/return", 303) in audit(service)[:3]
        assert "httponly" in back.headers["set-cookie"].lower()
        assert http.post("/v1/uploads", json={}).status_code == 403  # without the token of the page
        page = http.get("/ui/models")
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
        assert csrf
        assert http.post("/v1/uploads", json={}, headers={FORGERY_HEADER: csrf[1]}).status_code == 422
        session = http.cookies[COOKIE]
        out = http.post("/ui/logout", data={"csrf": csrf[1]})
        assert "Sign out of Example Login too" in http.get(out.headers["location"]).text
        assert whoami(http) is None
        assert httpx.get(f"{service.url}/v1/whoami", cookies={COOKIE: session}).status_code == 401
        end = http.get("/ui/openid/end").headers["location"]
        assert "/end?client_id=fractune&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1" in end


def test_the_same_person_keeps_the_key_and_gets_the_role_of_today(service: Installation, provider: Issuer) -> None:
    found = []
    for roles in (["engineers"], ["chiefs", "engineers"], "engineers"):
        provider.claims["roles"] = roles
        with browser(service) as http:
            http.get(answer(http))
            found.append(whoami(http) or {})
    assert [each["role"] for each in found] == ["operator", "admin", "operator"]
    assert len({each["id"] for each in found}) == 1


def test_an_administrator_shuts_a_person_out(service: Installation, provider: Issuer) -> None:
    provider.claims["sub"] = "unwanted"
    with browser(service) as http, service.http() as admin:
        http.get(answer(http))
        me = whoami(http)
        assert me is not None
        admin.delete(f"/v1/apikeys/{me['id']}")
        assert whoami(http) is None
        assert http.get(answer(http)).status_code == 401
        assert whoami(http) is None


LIES = {
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another client"},
    "no audience": {"aud": None},
    "us and others, for another party": {"aud": [CLIENT, "other"], "azp": "other"},
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": int(time.time()) - 3600},
    "without an end": {"exp": None},
    "from the future": {"iat": int(time.time()) + 3600},
    "not yet": {"nbf": int(time.time()) + 3600},
    "nobody": {"sub": None},
    "for another access token": {"at_hash": "x"},
}


@pytest.mark.parametrize("lies", LIES.values(), ids=LIES)
def test_an_id_token_that_lies_is_refused(service: Installation, provider: Issuer, lies: dict[str, Any]) -> None:
    provider.lies = lies
    with browser(service) as http:
        response = http.get(answer(http))
        assert (response.status_code, whoami(http)) == (401, None)
        assert "was not completed" in response.text
        assert ("unknown", "GET /openid/return", 401) in audit(service)[:3]


def test_only_the_providers_own_signature_counts(service: Installation, provider: Issuer) -> None:
    foreign = RSAKey.generate_key(2048, {"kid": "1"})
    unknown = RSAKey.generate_key(2048, {"kid": "2"})
    forgeries = [("none", None), ("RS256", foreign), ("RS256", unknown), ("HS256", None)]
    for provider.algorithm, provider.signing in forgeries:
        with browser(service) as http:
            assert http.get(answer(http)).status_code == 401
            assert whoami(http) is None


def test_an_answer_is_good_once_and_for_the_browser_that_asked(service: Installation, provider: Issuer) -> None:
    provider.forgetful = True
    with browser(service) as http, browser(service) as other:
        back = answer(http)
        assert other.get(back).status_code == 401, "the answer was stolen"
        assert http.get(back + "0").status_code == 401
        assert http.get(back.replace("state=", "state=0")).status_code == 401
        assert http.get(back).status_code == 401, "a refusal ends the attempt"
        back = answer(http)
        kept = next(f"{each.name}={each.value}" for each in http.cookies.jar if each.name == "fractune_openid")
        assert http.get(back + "&iss=https%3A%2F%2Fevil.example").status_code == 401, "another provider's answer"
        assert other.get(back, headers={"Cookie": kept}).status_code == 303
        again = other.get(back, headers={"Cookie": kept})
        assert again.status_code == 401, "replayed, cookie and all, with a code that the provider takes again"


def test_an_attempt_is_good_for_minutes() -> None:
    attempt = Attempt.begin()
    assert attempt.fits(attempt.derived("state"))
    assert not attempt.fits(attempt.derived("nonce"))
    for text in (f"{int(time.time()) - 3600}.x", f"{int(time.time()) + 3600}.x", "", ".", "x.y", f"{int(time.time())}.", "٣.x"):
        assert not Attempt(text).fits(Attempt(text).derived("state"))


def test_whom_the_claims_give_nothing_is_refused(service: Installation, provider: Issuer) -> None:
    for claims in ({"roles": ["visitors"]}, {"roles": None}, {"org": {"team": "red"}}, {"org": "blue team"}):
        provider.lies = claims
        with browser(service) as http:
            assert http.get(answer(http)).status_code == 403
            assert whoami(http) is None


@pytest.mark.parametrize(
    "after", ["//evil.example", "https://evil.example", "/ui/\\evil.example", "/elsewhere", "/ui/a b\r\nX: y"]
)
def test_signing_in_leads_nowhere_else(service: Installation, after: str) -> None:
    with browser(service) as http:
        back = http.get(answer(http, str(httpx.URL("/ui/openid", params={"next": after}))))
        assert back.headers["location"] == "/ui/"
        assert "x" not in back.headers


def test_names_and_paths_of_claims() -> None:
    settings = OpenIdSettings(issuer="https://a.example", client_id="x", default_role="viewer")
    who = identity_of({"sub": "1", "email": "ada\x1b[31m@\u202ea.example" + "x" * 300}, settings)
    assert (who.name[:17], len(who.name), who.role) == ("ada[31m@a.example", 200, "viewer")
    assert who.id != identity_of({"sub": "2"}, settings).id
    assert held_values({"https://a.example/roles": ["b"]}, "https://a.example/roles") == ["b"]
    assert held_values({"a": {"b": ["c", 1, None]}}, "a.b") == ["c"]
    with pytest.raises(Forbidden, match="has no role"):
        identity_of({"sub": "1"}, settings.model_copy(update={"default_role": None}))


def test_a_provider_that_does_not_describe_itself_is_not_asked() -> None:
    with issuer() as liar:
        asked = Provider(OpenIdSettings(issuer=liar.url, client_id=CLIENT))
        lies = {"issuer": "http://127.0.0.1:1", "jwks_uri": "file:///etc/passwd", "token_endpoint": "http://a.example"}
        for name, value in lies.items():
            liar.said = {name: value}
            with pytest.raises(Unavailable):
                asked.address(Attempt.begin(), "http://127.0.0.1/return")
    with pytest.raises(Unavailable, match="does not answer"):
        asked.address(Attempt.begin(), "http://127.0.0.1/return")


def test_without_settings_nothing_of_it_is_there() -> None:
    with installation() as service, browser(service) as http:
        assert "openid" not in http.get("/ui/login").text
        assert {http.get(f"/ui/openid{path}").status_code for path in ("", "/return", "/end")} == {404}


def test_keys_may_change(service: Installation, provider: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.openid.ASK_AGAIN_S", 0.0)
    assert ASK_AGAIN_S > 0
    provider.key = RSAKey.generate_key(2048, {"kid": "next"})
    with browser(service) as http:
        assert http.get(answer(http)).status_code == 303
