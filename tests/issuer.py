"""A small OpenID provider over real HTTP, with real signing keys; a test says what it lies about."""

import hmac
import json
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "fractune", "a secret: with & signs"


class Issuer:
    """Answers discovery, keys, authorization and token requests; every code is good once and for its verifier."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.claims: dict[str, Any] = {"sub": "42", "preferred_username": "ada", "roles": ["engineers"]}
        self.lies: dict[str, Any] = {}  # claims that are not as they should be
        self.algorithm = "RS256"
        self.signing: Any = None  # another key than the one that is published
        self.forgetful = False  # codes are good again and again
        self.said: dict[str, Any] = {}  # in the discovery document
        self._codes: dict[str, dict[str, str]] = {}

    def discovery(self) -> dict[str, Any]:
        names = {"authorization": "authorize", "token": "token", "end_session": "end"}
        endpoints = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in names.items()}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **endpoints,
            **self.said,
        }

    def keys(self) -> dict[str, Any]:
        return dict(KeySet([self.key]).as_dict(private=False))

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes back to: everybody is whom the test says."""
        code = f"code{len(self._codes)}"
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code; None where the request is not right."""
        pair = b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        asked = self._codes.get(form.get("code", ""))
        if [unquote_plus(part) for part in pair] != [CLIENT, SECRET] or asked is None:
            return None
        challenge = encoded(sha256(form["code_verifier"].encode()).digest())
        if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        if not self.forgetful:
            del self._codes[form["code"]]
        return {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])}

    def id_token(self, nonce: str) -> str:
        times = {"iat": int(time.time()), "exp": int(time.time()) + 60}
        claims = {"iss": self.url, "aud": CLIENT, "nonce": nonce, **times, **self.claims, **self.lies}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": (self.signing or self.key).kid}
        if self.algorithm in ("none", "HS256"):  # no signature; or the classic confusion, the public key's text as a secret
            text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
            mac = hmac.digest(self.key.as_pem(private=False), text.encode(), "sha256")
            return f"{text}.{encoded(mac) if self.algorithm == 'HS256' else ''}"
        return jwt.encode(header, claims, self.signing or self.key, algorithms=[self.algorithm])


def encoded(data: bytes) -> str:
    """As in tokens."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def issuer() -> Iterator[Issuer]:
    """The provider, at its `url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", made.authorize(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer(made.discovery() if parts.path.startswith("/.well-known/") else made.keys())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(made.token(form, self.headers.get("Authorization", "")))

        def answer(self, value: dict[str, Any] | None) -> None:
            body = json.dumps(value or {"error": "invalid_grant"}).encode()
            self.send_response(200 if value else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Issuer(f"http://127.0.0.1:{server.server_port}")
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
