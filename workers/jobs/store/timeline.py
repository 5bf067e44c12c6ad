"""The one way a job changes: a compare-and-set on its row and an event in its history, in one transaction."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from workers.jobs.database.connection import now
from workers.jobs.database.rows import AnyRow
from workers.jobs.database.tables import deliveries, events, jobs, webhooks
from workers.jobs.job import Failure, Kind, State
from workers.jobs.records import JsonObject
from workers.jobs.store.webhooks import new_delivery


def advance(
    connection: Connection,
    job_id: str,
    sources: Collection[State],
    event: str,
    data: JsonObject,
    *conditions: ColumnElement[bool],
    **values: Any,
) -> AnyRow | None:
    """Set `values` if the job is in one of `sources` and all `conditions` hold; the row afterwards, or None.

    Events are numbered under the lock of the job's row, so that their numbers follow the order of the commits.
    """
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(sources), *conditions)
        .values(**values, last_event=jobs.c.last_event + 1)
        .returning(jobs)
    )
    row = connection.execute(statement).one_or_none()
    if row is not None:
        append_event(connection, row, event, data)
    return row


def end(
    connection: Connection,
    job_id: str,
    sources: Collection[State],
    state: State,
    *conditions: ColumnElement[bool],
    failure: Failure | None = None,
    **values: Any,
) -> AnyRow | None:
    """Bring the job to a final state."""
    record = failure and asdict(failure)
    return advance(
        connection, job_id, sources, "state", {"state": state, "failure": record}, *conditions,
        state=state, failure=record, ended_at=now(), lease_until=None, eta_s=None, **values,
    )  # fmt: skip


def append_event(connection: Connection, row: AnyRow, event: str, data: JsonObject) -> None:
    """Write the event that `row.last_event` counts, and the webhook deliveries that a new state calls for."""
    connection.execute(
        insert(events).values(job_id=row.id, seq=row.last_event, at=now(), attempt=row.attempt, type=event, data=data)
    )
    if event == "state" and row.kind == Kind.COMPRESS:
        _notify(connection, row, f"job.{row.state.lower()}")


def _notify(connection: Connection, row: AnyRow, event: str) -> None:
    hooks = connection.execute(select(webhooks.c.id, webhooks.c.events).where(webhooks.c.active)).all()
    columns = ("id", "name", "state", "model", "labels", "methods", "attempt", "failure", "constraint", "summary")
    payload = {"type": event, "data": {name: row._mapping[name] for name in columns}}
    for hook in hooks:
        if event in hook.events:
            connection.execute(insert(deliveries).values(**new_delivery(hook.id, event, payload)))
