"""Webhooks and workers as rows, sums for monitoring, and the health of the store; on SQLite and on PostgreSQL."""

from hashlib import sha256
from typing import Any

import pytest

from workers.errors import NotFound
from workers.jobs.job import Failure, Kind, Stage, State
from workers.jobs.records import AssetKind, Delivery, DeliveryState, Job, Request, Webhook
from workers.jobs.store import Store

LEASE_S = 30.0


def hook(store: Store, name: str, *events: str) -> Webhook:
    return store.webhooks.add(f"https://{name}.example/", "secret", list(events or ["job.succeeded"]), "me")


def take(store: Store, webhook: Webhook, lease_s: float = LEASE_S) -> list[Delivery]:
    """What is due for it; what is due for others waits its turn."""
    others = [other.id for other in store.webhooks.page(limit=1000).items if other.id != webhook.id]
    return [delivery for delivery, _ in store.webhooks.take_due(10, lease_s, others)]


def submitted(store: Store, unique: str, **request: Any) -> Job:
    model = sha256(unique.encode()).hexdigest()
    store.assets.add(AssetKind.MODEL, model, "m", 1, unique, lambda: None)
    return store.jobs.submit(Request(Kind.COMPRESS, model, {"steps": [{"method": "inq"}]}, **request), unique)[0]


def test_a_secret_is_not_printed(store: Store, unique: str) -> None:
    made = store.webhooks.add("https://x.example/", f"hush {unique}", ["job.failed"], "me")
    assert store.webhooks.get(made.id).secret == f"hush {unique}"
    assert "hush" not in repr(made)


def test_what_is_due_is_given_to_one(store: Store, unique: str) -> None:
    webhook = hook(store, unique)
    queued = store.webhooks.queue(webhook.id, "ping", {"n": 1})
    (delivery,) = take(store, webhook)
    assert (delivery.id, delivery.tries, delivery.payload) == (queued.id, 1, {"n": 1})
    assert take(store, webhook) == []


def test_what_nobody_settled_is_due_again(store: Store, unique: str) -> None:
    webhook = hook(store, unique)
    store.webhooks.queue(webhook.id, "ping", {})
    (first,) = take(store, webhook, lease_s=-1)
    (second,) = take(store, webhook)
    store.webhooks.settle(first, 200, None, None)  # by the process that was given up
    (kept,) = store.webhooks.deliveries(webhook.id).items
    assert (second.tries, kept.state) == (2, DeliveryState.PENDING)
    store.webhooks.settle(second, 204, None, None)
    (kept,) = store.webhooks.deliveries(webhook.id).items
    assert (kept.state, kept.status) == (DeliveryState.DELIVERED, 204)
    assert kept.ended_at is not None


@pytest.mark.parametrize(
    ("error", "retry_in_s", "state", "due"),
    [
        (None, None, DeliveryState.DELIVERED, False),
        (None, 5.0, DeliveryState.DELIVERED, False),
        ("refused", -1.0, DeliveryState.PENDING, True),
        ("refused", 60.0, DeliveryState.PENDING, False),
        ("refused", None, DeliveryState.DEAD, False),
        ("", 60.0, DeliveryState.PENDING, False),
    ],
)
def test_how_a_try_went(store: Store, unique: str, error: str | None, retry_in_s: float | None, state: str, due: bool) -> None:
    webhook = hook(store, unique)
    store.webhooks.queue(webhook.id, "ping", {})
    store.webhooks.settle(take(store, webhook)[0], 500, error, retry_in_s)
    (found,) = store.webhooks.deliveries(webhook.id).items
    assert (found.state, found.error, found.ended_at is None) == (state, error, state == DeliveryState.PENDING)
    assert bool(take(store, webhook)) == due


def test_a_dead_delivery_is_told_again_as_if_for_the_first_time(store: Store, unique: str) -> None:
    webhook = hook(store, unique)
    delivery = store.webhooks.queue(webhook.id, "ping", {})
    store.webhooks.settle(take(store, webhook)[0], None, "gone", None)
    again = store.webhooks.redeliver(webhook.id, delivery.id)
    assert (again.state, again.tries, again.ended_at) == (DeliveryState.PENDING, 0, None)
    assert [due.id for due in take(store, webhook)] == [delivery.id]
    other = hook(store, f"{unique}x")
    with pytest.raises(NotFound):
        store.webhooks.redeliver(other.id, delivery.id)


def test_a_webhook_goes_with_its_deliveries(store: Store, unique: str) -> None:
    webhook = hook(store, unique)
    store.webhooks.queue(webhook.id, "ping", {})
    store.webhooks.remove(webhook.id)
    assert store.webhooks.deliveries(webhook.id).items == ()
    for call in (store.webhooks.get, store.webhooks.remove):
        with pytest.raises(NotFound, match=webhook.id):
            call(webhook.id)
    with pytest.raises(NotFound):
        store.webhooks.queue(webhook.id, "ping", {})


def test_the_end_of_a_job_is_told_to_those_who_asked(store: Store, unique: str) -> None:
    wants, other, silent = (
        hook(store, unique, "job.failed"),
        hook(store, unique, "job.canceled"),
        hook(store, unique, "job.failed"),
    )
    store.webhooks.silence(silent.id)
    job = submitted(store, unique, name="näme", labels={"team": "x"})
    store.leases.claim(job.id, "w", LEASE_S)
    store.leases.fail(job.id, 1, Failure("CRASHED", "why", "what", Stage.COMPRESS))
    (told,) = take(store, wants)
    data = told.payload["data"]
    assert (told.type, data["id"], data["name"], data["labels"], data["methods"]) == (
        "job.failed", job.id, "näme", {"team": "x"}, "inq",
    )  # fmt: skip
    assert data["failure"]["stage"] == "compress"
    assert (take(store, other), take(store, silent)) == ([], [])


def test_inspections_are_told_to_nobody(store: Store, unique: str) -> None:
    webhook = hook(store, unique, "job.running", "job.succeeded", "job.queued")
    model = sha256(unique.encode()).hexdigest()
    job = store.assets.add(AssetKind.MODEL, model, "m", 1, unique, lambda: None)[2]
    assert job is not None
    store.leases.claim(job.id, "w", LEASE_S)
    store.leases.publish(job.id, 1, [])
    assert take(store, webhook) == []
    store.webhooks.remove(webhook.id)


# workers


def test_a_worker_is_seen_with_what_it_does(store: Store, unique: str) -> None:
    store.workers.seen(unique, {"cpu": "x"}, {"isa": "amx"})
    job = submitted(store, unique)
    store.leases.claim(job.id, unique, LEASE_S)
    (worker,) = (worker for worker in store.workers.list() if worker.id == unique)
    assert (worker.machine, worker.labels, worker.job_id) == ({"cpu": "x"}, {"isa": "amx"}, job.id)
    assert 0 <= worker.silent_s < 600
    assert not worker.idle(None, 600)
    store.leases.fail(job.id, 1, Failure("CRASHED", "", ""))
    (worker,) = (worker for worker in store.workers.list() if worker.id == unique)
    assert worker.idle(None, 600)
    assert worker.idle("isa=amx", 600)
    assert not worker.idle("isa=avx2", 600)
    assert not worker.idle("gpu=", 600)
    assert not worker.idle(None, -1)


def test_a_worker_that_comes_back_under_its_name_is_what_it_is_now(store: Store, unique: str) -> None:
    """A pod of a stateful set keeps its name and its process number, and may have other labels after a change."""
    store.workers.seen(unique, {"cpu": "old"}, {"pool": "a"})
    store.workers.seen(unique, {"cpu": "new"}, {"pool": "b"})
    (worker,) = (worker for worker in store.workers.list() if worker.id == unique)
    assert (worker.machine, worker.labels) == ({"cpu": "new"}, {"pool": "b"})


def test_a_worker_that_leaves_is_gone(store: Store, unique: str) -> None:
    store.workers.seen(unique, {}, {})
    store.workers.gone(unique)
    store.workers.gone(unique)
    assert unique not in {worker.id for worker in store.workers.list()}


# figures


def test_figures_count_what_happens(store: Store, unique: str) -> None:
    for other in store.webhooks.page(limit=1000).items:
        store.webhooks.silence(other.id)
    before = (store.figures.jobs(), store.figures.failures(), store.figures.stages(), store.figures.deliveries())
    for number, code in enumerate(("CRASHED", "CRASHED", None)):
        job = submitted(store, f"{unique}{number}")
        store.leases.claim(job.id, "w", LEASE_S)
        if code:
            store.leases.fail(job.id, 1, Failure(code, "", ""), stages={"import": 1.5})
        else:
            store.leases.publish(job.id, 1, [], stages={"import": 0.5, "compress": 4.0})
    webhook = hook(store, unique)
    store.webhooks.queue(webhook.id, "ping", {})
    after = (store.figures.jobs(), store.figures.failures(), store.figures.stages(), store.figures.deliveries())

    def more(index: int, key: Any) -> int:
        return after[index][key] - before[index].get(key, 0)

    assert (more(0, (Kind.COMPRESS, State.FAILED)), more(0, (Kind.COMPRESS, State.SUCCEEDED))) == (2, 1)
    assert more(1, "CRASHED") == 2
    assert more(3, DeliveryState.PENDING) == 1
    imported = after[2][Stage.IMPORT], before[2][Stage.IMPORT]
    assert imported[0].count - imported[1].count == 3
    assert imported[0].seconds - imported[1].seconds == pytest.approx(3.5)
    assert after[2][Stage.REPORT].seconds == before[2][Stage.REPORT].seconds


def test_a_store_that_can_be_written_to_is_healthy(store: Store) -> None:
    store.ping()
    for _ in range(2):
        store.health.check_writing()
        store.health.check_clock()
