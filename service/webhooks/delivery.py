"""Tells webhooks what they asked for, signed as Standard Webhooks has it, until they have heard."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import secrets
import threading
import time
from collections.abc import Mapping
from itertools import groupby

import httpx
import structlog

from service.webhooks.targets import Allowed
from workers.errors import FractuneError
from workers.jobs.records import Delivery, JsonObject, Webhook
from workers.jobs.store import Store

RETRY_S = (5, 30, 120, 600, 3600, 6 * 3600)  # after the first, second, ... try; then the delivery is dead
DEADLINE_S = 15.0  # for a whole exchange, however slowly it goes on
LEASE_S = 120.0
BATCH = 4
SENDERS = 16
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
    """Delivers what is due, each webhook by a sender of its own, so that a slow one delays nobody else.

    Any number of processes may do so at any time.
    """

    def __init__(self, store: Store, allowed: Allowed) -> None:
        self._store = store
        self._allowed = allowed
        self._busy: dict[str, threading.Thread] = {}  # senders by webhook

    def __call__(self) -> None:
        """Begin to try what is due, as far as there are senders."""
        self._busy = {webhook_id: sender for webhook_id, sender in self._busy.items() if sender.is_alive()}
        while len(self._busy) < SENDERS and (due := self._store.webhooks.take_due(BATCH, LEASE_S, without=self._busy)):
            for webhook_id, told in groupby(sorted(due, key=_webhook_id), key=_webhook_id):
                sender = threading.Thread(target=self._tell, args=(list(told),), name=f"webhook {webhook_id}", daemon=True)
                self._busy[webhook_id] = sender
                sender.start()

    def settle(self) -> None:
        """Wait for the senders that are at work."""
        for sender in self._busy.values():
            sender.join()

    def _tell(self, told: list[tuple[Delivery, Webhook]]) -> None:
        for delivery, webhook in told:
            try:
                self._try(delivery, webhook)
            except FractuneError as error:  # the store is away: it is due again when its lease is over
                log.warning("delivery not recorded", delivery=delivery.id, reason=error.message)

    def _try(self, delivery: Delivery, webhook: Webhook) -> None:
        status, error = None, None
        try:
            status = self._send(delivery, webhook)
            if not 200 <= status < 300:
                error = f"The target answered {status}."
        except FractuneError as refusal:
            error = refusal.message
        except TimeoutError:
            error = f"The target did not answer within {DEADLINE_S:g} s."
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if status == GONE:
            self._store.webhooks.silence(webhook.id)
        again = None if status == GONE or delivery.tries > len(RETRY_S) else _pause(delivery.tries)
        self._store.webhooks.settle(delivery, status, error and error[:500], again)
        log.info("webhook told", delivery=delivery.id, status=status, error=error)

    def _send(self, delivery: Delivery, webhook: Webhook) -> int:
        """The status of the answer, within DEADLINE_S from the look-up of the name to the last header."""
        return asyncio.run(asyncio.wait_for(self._exchange(delivery, webhook), DEADLINE_S))

    async def _exchange(self, delivery: Delivery, webhook: Webhook) -> int:
        """The body of the answer is of no interest. Redirects are not followed, proxies not used."""
        target = await asyncio.to_thread(self._allowed.resolve, webhook.url)
        body = _body(delivery)
        url = httpx.URL(webhook.url)
        headers = {**_headers(delivery, webhook, body), "Host": url.netloc.decode()}
        pinned = url.copy_with(host=str(target.address))
        async with httpx.AsyncClient(timeout=DEADLINE_S, trust_env=False) as http:
            extensions = {"sni_hostname": target.host}
            async with http.stream("POST", pinned, content=body, headers=headers, extensions=extensions) as response:
                return response.status_code


def _webhook_id(told: tuple[Delivery, Webhook]) -> str:
    return told[1].id


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
