"""Tells webhooks what they asked for, signed as Standard Webhooks has it, until they have heard."""

import base64
import hashlib
import hmac
import json
import random
import secrets
import time
from collections.abc import Mapping

import httpx
import structlog

from service.webhooks.targets import Allowed
from workers.errors import FractuneError
from workers.jobs.records import Delivery, JsonObject, Webhook
from workers.jobs.store import Store

RETRY_S = (5, 30, 120, 600, 3600, 6 * 3600)  # after the first, second, ... try; then the delivery is dead
TIMEOUT = httpx.Timeout(10)
LEASE_S = 120.0
BATCH = 4
SECRET_PREFIX = "whsec_"
GONE = 410
log = structlog.get_logger(__name__)


def new_secret() -> str:
    """A signing secret, in the form that the libraries of Standard Webhooks take."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Messenger:
    """Delivers what is due. Any number of processes may do so at any time."""

    def __init__(self, store: Store, allowed: Allowed) -> None:
        self._store = store
        self._allowed = allowed

    def __call__(self) -> None:
        """Try everything that is due once."""
        while due := self._store.webhooks.take_due(BATCH, LEASE_S):
            for delivery, webhook in due:
                self._try(delivery, webhook)

    def _try(self, delivery: Delivery, webhook: Webhook) -> None:
        status, error = None, None
        try:
            status = self._send(delivery, webhook)
            if not 200 <= status < 300:
                error = f"The target answered {status}."
        except FractuneError as refusal:
            error = refusal.message
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if status == GONE:
            self._store.webhooks.silence(webhook.id)
        again = None if status == GONE or delivery.tries > len(RETRY_S) else _pause(delivery.tries)
        self._store.webhooks.settle(delivery, status, error and error[:500], again)
        log.info("webhook told", delivery=delivery.id, status=status, error=error)

    def _send(self, delivery: Delivery, webhook: Webhook) -> int:
        """The status of the answer; its body is of no interest. Redirects are not followed, proxies not used."""
        target = self._allowed.resolve(webhook.url)
        body = _body(delivery)
        url = httpx.URL(webhook.url)
        headers = {**_headers(delivery, webhook, body), "Host": url.netloc.decode()}
        pinned = url.copy_with(host=str(target.address))
        with httpx.Client(timeout=TIMEOUT, trust_env=False) as http:
            extensions = {"sni_hostname": target.host}
            with http.stream("POST", pinned, content=body, headers=headers, extensions=extensions) as response:
                return response.status_code


def _body(delivery: Delivery) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(delivery.created_at))
    payload: JsonObject = {**delivery.payload, "timestamp": moment}
    return json.dumps(payload, separators=(",", ":")).encode()


def _headers(delivery: Delivery, webhook: Webhook, body: bytes) -> Mapping[str, str]:
    timestamp = int(time.time())
    return {
        "Content-Type": "application/json",
        "User-Agent": "Fractune",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(webhook.secret, delivery.id, timestamp, body),
    }


def _pause(tries: int) -> float:
    """Seconds until the next try; scattered, so that a target that comes back is not overrun."""
    return RETRY_S[tries - 1] * random.uniform(0.8, 1.2)
