"""Signing in through an identity provider: OpenID Connect, the authorization code flow with PKCE (RFC 7636), by Authlib.

Who signs in is sent to the provider with a state, a nonce and a challenge, all made from one random token that only a cookie of
this browser holds. What comes back is believed when the state fits the cookie, the code buys an ID token with the verifier, and
the token is signed by the provider, for us, for this nonce, now. Its claims decide on role and project.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

import httpx
import structlog
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from workers.errors import Forbidden, Unauthenticated, Unavailable
from workers.jobs.records import Role
from workers.settings import OpenIdSettings, check_address

T = TypeVar("T")
log = structlog.get_logger(__name__)

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"})
ATTEMPT_S = 600.0  # from the click to the return
KEPT_S = 3600.0  # what the provider says of itself
ASK_AGAIN_S = 60.0  # for keys that we do not know
LEEWAY_S = 60  # between the clocks
ANSWER_S = 5.0
MOST_BYTES = 1 << 20
DECLINED = frozenset({400, 401, 403})
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider vouches for."""

    id: str  # of the key that stands for this one
    subject: str  # issuer and sub, which never change
    name: str
    role: Role
    project: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in under way: the text of its cookie, and what follows from it."""

    text: str

    @classmethod
    def begin(cls) -> "Attempt":
        """A new one, that tells when it began."""
        return cls(f"{int(time.time())}.{secrets.token_urlsafe(32)}")

    def derived(self, use: str) -> str:
        """A digest for one use; none tells of another, nor of the cookie."""
        return hashlib.sha256(f"{use} {self.text}".encode(errors="replace")).hexdigest()

    def fits(self, state: str) -> bool:
        """Whether the provider answers this one, and soon enough."""
        began, _, secret = self.text.partition(".")
        fresh = began.isascii() and began.isdigit() and 0 <= time.time() - int(began[:12]) + LEEWAY_S <= ATTEMPT_S
        return bool(secret) and fresh and hmac.compare_digest(self.derived("state").encode(), state.encode())


class Provider:
    """An identity provider, as it describes itself; one object for each process."""

    def __init__(self, settings: OpenIdSettings) -> None:
        self.settings = settings
        self._known: tuple[float, dict[str, Any], KeySet] | None = None

    def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Where the browser is sent. Raises Unavailable."""
        client = OAuth2Client(
            None,
            self.settings.client_id,
            scope=self.settings.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
        endpoint, state, nonce = self._said()["authorization_endpoint"], attempt.derived("state"), attempt.derived("nonce")
        url, _ = client.create_authorization_url(endpoint, state=state, code_verifier=attempt.derived("verifier"), nonce=nonce)
        return str(url)

    def identify(self, attempt: Attempt, code: str, redirect_uri: str) -> Identity:
        """Whom the provider vouches for. Raises Unauthenticated, Forbidden, Unavailable."""
        token = self._buy(attempt, code, redirect_uri)
        claims = self._claims(token, attempt.derived("nonce"))
        return identity_of(claims, self.settings)

    def vouches_for(self, subject: str) -> bool:
        """Whether it is one of this provider's people."""
        return subject.startswith(f"{self.settings.issuer} ")

    def end(self, back: str) -> str | None:
        """Where the provider's own session is ended, if it tells."""
        endpoint = self._said().get("end_session_endpoint")
        query = urlencode({"client_id": self.settings.client_id, "post_logout_redirect_uri": back})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}" if endpoint else None

    def issued(self, issuer: str | None) -> bool:
        """Whether an answer that names its issuer (RFC 9207) names ours; one that must, does."""
        required = self._said().get("authorization_response_iss_parameter_supported") is True
        return issuer == self.settings.issuer or (issuer is None and not required)

    def _buy(self, attempt: Attempt, code: str, redirect_uri: str) -> dict[str, Any]:
        """What the code is worth at the provider. Raises Unauthenticated, Unavailable."""
        told, secret = self._said(), self.settings.client_secret
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        form |= {"client_id": self.settings.client_id, "code_verifier": attempt.derived("verifier")}
        auth = None
        if secret and "client_secret_basic" in told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            pair = (self.settings.client_id, secret.get_secret_value())
            auth = httpx.BasicAuth(*map(quote_plus, pair))  # RFC 6749, section 2.3.1
        elif secret:
            form["client_secret"] = secret.get_secret_value()
        return fetch("POST", told["token_endpoint"], data=form, auth=auth)

    def _claims(self, token: Mapping[str, Any], nonce: str) -> CodeIDToken:
        """What the provider signed for us, now. Raises Unauthenticated, Unavailable."""
        params = {"nonce": nonce, "client_id": self.settings.client_id, "access_token": token.get("access_token")}
        ours: dict[str, Any] = {"essential": True, "value": self.settings.client_id}
        try:
            signed = self._verified(str(token.get("id_token")))
            options = {"iss": {"essential": True, "value": self.settings.issuer}, "aud": ours}
            claims = CodeIDToken(signed.claims, signed.header, options, params)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            log.warning("ID token refused", reason=f"{type(error).__name__}: {error}"[:200])
            raise Unauthenticated from error
        return claims

    def _verified(self, text: str) -> jwt.Token:
        """The token, signed by a key of the provider; keys that we do not know are asked for. Raises JoseError, Unavailable."""
        offered = self._said().get("id_token_signing_alg_values_supported", ["RS256"])
        registry = JWSRegistry(algorithms=sorted(ALGORITHMS.intersection(offered)), strict_check_header=False)
        try:
            return jwt.decode(text, self._keys(), registry=registry)
        except (InvalidKeyIdError, ValueError):
            return jwt.decode(text, self._keys(younger_s=ASK_AGAIN_S), registry=registry)

    def _said(self, younger_s: float = KEPT_S) -> dict[str, Any]:
        return self._ask(younger_s)[1]

    def _keys(self, younger_s: float = KEPT_S) -> KeySet:
        return self._ask(younger_s)[2]

    def _ask(self, younger_s: float) -> tuple[float, dict[str, Any], KeySet]:
        """When we last asked, what the provider says of itself, and its keys. Raises Unavailable."""
        known = self._known
        if known is None or time.monotonic() - known[0] > younger_s:
            issuer = self.settings.issuer
            said = fetch("GET", issuer.rstrip("/") + DISCOVERY)
            if said.get("issuer") != issuer:
                raise Unavailable(f"{issuer} says that it is another issuer.", hint="Compare FRACTUNE_OIDC__ISSUER with it.")
            try:
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    check_address(str(said.get(name)))
                keys = KeySet.import_key_set(fetch("GET", said["jwks_uri"]))  # type: ignore[arg-type]
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise Unavailable(f"{issuer} does not describe itself as a provider does: {error}") from error
            self._known = known = time.monotonic(), said, keys
        return known


def identity_of(claims: Mapping[str, Any], settings: OpenIdSettings) -> Identity:
    """Who somebody is, and what they may do. Raises Forbidden for whom the settings give no role or no project."""
    subject = f"{settings.issuer} {claims['sub']}"
    names = (claims.get(name) for name in ("preferred_username", "email", "name", "sub"))
    name = "".join(filter(str.isprintable, str(next(filter(None, names)))))[:200]
    role = chosen(settings.roles, held_values(claims, settings.role_claim), settings.default_role)
    project: str | None = settings.project
    if settings.project_claim:
        project = chosen(settings.projects, held_values(claims, settings.project_claim), None)
    if role is None or project is None:
        what = "role" if role is None else "project"
        raise Forbidden(f"{name} has no {what} in Fractune.", hint="Ask whoever runs the service or the identity provider.")
    return Identity(hashlib.sha256(subject.encode()).hexdigest()[:12], subject, name, Role(role), project)


def chosen(mapping: Mapping[str, T], held: Collection[str], otherwise: T | None) -> T | None:
    """What the first entry of the mapping gives that is among the values held."""
    return next((given for value, given in mapping.items() if value in held), otherwise)


def held_values(claims: Mapping[str, Any], path: str) -> list[str]:
    """The texts that a claim holds: one, or a list; `path` leads by dots into objects."""
    found: Any = claims
    if path in claims:  # names of claims are often URLs
        found = claims[path]
    else:
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return [value for value in (found if isinstance(found, list) else [found]) if isinstance(value, str)]


def fetch(method: str, url: str, **options: Any) -> dict[str, Any]:
    """A JSON object; redirects are not followed. Raises Unauthenticated for what is declined, Unavailable."""
    try:
        with httpx.Client(timeout=ANSWER_S) as http, http.stream(method, url, **options) as response:
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise Unavailable(f"The identity provider answered more than {MOST_BYTES} bytes.")
            if response.status_code in DECLINED:
                log.warning("identity provider declined", url=url, status=response.status_code)
                raise Unauthenticated
            response.raise_for_status()
            value = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise Unavailable(f"The identity provider does not answer: {type(error).__name__}.") from error
    if not isinstance(value, dict):
        raise Unavailable("The identity provider does not answer with an object.")
    return value
