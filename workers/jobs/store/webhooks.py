"""Who wants to be told, and what is still to be told them. Deliveries are queued in the transaction that they speak of."""

from collections.abc import Collection
from uuid import uuid4

from sqlalchemy import and_, delete, insert, select, update

from workers.errors import NotFound
from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import deliveries, webhooks
from workers.jobs.records import Delivery, DeliveryState, JsonObject, Page, Webhook


class Webhooks:
    """The tables of webhooks and deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, url: str, secret: str, events: list[str], created_by: str) -> Webhook:
        """Tell `url` of these events from now on."""
        values = {"id": uuid4().hex, "url": url, "secret": secret, "events": events, "created_by": created_by}
        insertion = insert(webhooks).values(**values, active=True, created_at=now()).returning(webhooks)
        with self._database.write() as connection:
            return rows.record(Webhook, connection.execute(insertion).one())

    def page(self, cursor: str | None = None, limit: int = 50) -> Page[Webhook]:
        """Newest first."""
        query = rows.newest_first(select(webhooks), webhooks, cursor, limit)
        with self._database.read() as connection:
            return rows.page_of(connection.execute(query).all(), limit, lambda row: rows.record(Webhook, row))

    def get(self, webhook_id: str) -> Webhook:
        """Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(webhooks).where(webhooks.c.id == webhook_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no webhook {webhook_id}.")
        return rows.record(Webhook, row)

    def remove(self, webhook_id: str) -> None:
        """With its deliveries. Raises NotFound."""
        with self._database.write() as connection:
            if connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount == 0:
                raise NotFound(f"There is no webhook {webhook_id}.")

    def queue(self, webhook_id: str, event: str, payload: JsonObject) -> Delivery:
        """Something to tell, now. Raises NotFound."""
        self.get(webhook_id)
        with self._database.write() as connection:
            insertion = insert(deliveries).values(**new_delivery(webhook_id, event, payload)).returning(deliveries)
            return _delivery(connection.execute(insertion).one())

    def deliveries(self, webhook_id: str, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
        """What was told and what is to be told, newest first."""
        query = rows.newest_first(select(deliveries).where(deliveries.c.webhook_id == webhook_id), deliveries, cursor, limit)
        with self._database.read() as connection:
            return rows.page_of(connection.execute(query).all(), limit, _delivery)

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Tell it again, as if for the first time. Raises NotFound."""
        same = and_(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
        again = update(deliveries).where(same).values(state=DeliveryState.PENDING, tries=0, due_at=now(), ended_at=None)
        with self._database.write() as connection:
            row = connection.execute(again.returning(deliveries)).one_or_none()
        if row is None:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return _delivery(row)

    def take_due(self, limit: int, lease_s: float, without: Collection[str] = ()) -> list[tuple[Delivery, Webhook]]:
        """What is due, to be settled within `lease_s` seconds; else it is due again, for anybody. Not of those webhooks."""
        due = and_(
            deliveries.c.state == DeliveryState.PENDING,
            deliveries.c.due_at <= now(),
            deliveries.c.webhook_id.not_in(without),
        )
        oldest = select(deliveries.c.id).where(due).order_by(deliveries.c.due_at).limit(limit)
        with self._database.read() as connection:
            if connection.execute(oldest.limit(1)).first() is None:
                return []
        values = {"due_at": now() + lease_s, "tries": deliveries.c.tries + 1}
        statement = update(deliveries).where(deliveries.c.id.in_(oldest), due).values(**values).returning(deliveries)
        with self._database.write() as connection:
            taken = [_delivery(row) for row in connection.execute(statement)]
        return [(delivery, self.get(delivery.webhook_id)) for delivery in taken]

    def settle(self, delivery: Delivery, status: int | None, error: str | None, retry_in_s: float | None) -> None:
        """How the try went: delivered without `error`; else due again in `retry_in_s` seconds, or dead."""
        again = error is not None and retry_in_s is not None
        state = DeliveryState.PENDING if again else DeliveryState.DELIVERED if error is None else DeliveryState.DEAD
        values = {
            "state": state,
            "status": status,
            "error": error,
            "due_at": now() + (retry_in_s or 0.0),
            "ended_at": None if again else now(),
        }
        same_try = and_(deliveries.c.id == delivery.id, deliveries.c.tries == delivery.tries)
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(same_try).values(**values))

    def silence(self, webhook_id: str) -> None:
        """Its target said that it is gone: queue nothing more for it."""
        with self._database.write() as connection:
            connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(active=False))


def new_delivery(webhook_id: str, event: str, payload: JsonObject) -> JsonObject:
    """The values of a row."""
    fixed = {"state": DeliveryState.PENDING, "tries": 0, "due_at": now(), "created_at": now()}
    return {"id": f"msg_{uuid4().hex}", "webhook_id": webhook_id, "type": event, "payload": payload, **fixed}


def _delivery(row: rows.AnyRow) -> Delivery:
    return rows.record(Delivery, row, state=DeliveryState(row.state))
