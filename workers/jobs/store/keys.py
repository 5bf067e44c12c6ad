"""API keys, the sessions that stand for them, and what was done with both."""

import time

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from workers.errors import Conflict, NotFound
from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.scope import COMMON
from workers.jobs.database.tables import audit, keys, sessions, tickets
from workers.jobs.records import ApiKey, AuditEntry, Page, Role

TOUCH_S = 60.0  # how exact `used_at` is


class Keys:
    """The table of API keys; it holds digests, from which no key can be made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        key_id: str,
        digest: str,
        name: str,
        role: Role,
        created_by: str,
        expires_in_s: float | None,
        project: str = COMMON,
    ) -> ApiKey:
        """A new key."""
        expires_at = None if expires_in_s is None else now() + expires_in_s
        values = {"id": key_id, "digest": digest, "name": name, "role": role, "created_by": created_by, "project": project}
        insertion = insert(keys).values(**values, expires_at=expires_at, created_at=now()).returning(keys)
        with self._database.write() as connection:
            return key_of(connection.execute(insertion).one())

    def valid(self, key_id: str) -> tuple[ApiKey, str] | None:
        """A key that is neither revoked nor expired, and its digest."""
        with self._database.read() as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id, valid())).one_or_none()
        return None if row is None else (key_of(row), row.digest)

    def used(self, key: ApiKey) -> None:
        """Note that the key was used, to the minute. Raises Unavailable."""
        if key.used_at is not None and key.used_at > time.time() - TOUCH_S:
            return
        stale = or_(keys.c.used_at.is_(None), keys.c.used_at < now() - TOUCH_S)
        with self._database.write() as connection:
            connection.execute(update(keys).where(keys.c.id == key.id, stale).values(used_at=now()))

    def page(self, cursor: str | None = None, limit: int = 50) -> Page[ApiKey]:
        """All keys ever given out, newest first."""
        query = rows.newest_first(select(keys), keys, cursor, limit)
        with self._database.read() as connection:
            return rows.page_of(connection.execute(query).all(), limit, key_of)

    def revoke(self, key_id: str) -> ApiKey:
        """From now on the key opens nothing. Raises NotFound; Conflict for the last administrator's that is valid."""
        with self._database.write() as connection:
            self._database.queue_up(connection, "administrators")
            others = select(keys.c.id).where(
                keys.c.role == Role.ADMIN, keys.c.id != key_id, valid(), keys.c.expires_at.is_(None)
            )
            last = select(keys.c.id).where(keys.c.id == key_id, keys.c.role == Role.ADMIN, valid())
            if connection.execute(last).first() and not connection.execute(others.limit(1)).first():
                raise Conflict("It is the last administrator's key.", hint="Make another one that does not expire first.")
            connection.execute(update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now()))
            row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no API key {key_id}.")
        return key_of(row)


class Sessions:
    """The table of sessions: a random token stands for a key until it expires, is closed, or the key opens nothing any more.

    It holds digests of the tokens, from which none can be made.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, digest: str, key_id: str, lasts_s: float) -> None:
        """A new session for that key; those that have expired go."""
        values = {"digest": digest, "key_id": key_id, "created_at": now(), "expires_at": now() + lasts_s}
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at < now()))
            connection.execute(insert(sessions).values(**values))

    def holder(self, digest: str) -> ApiKey | None:
        """The key that the session stands for."""
        query = select(keys).join(sessions, sessions.c.key_id == keys.c.id)
        with self._database.read() as connection:
            row = connection.execute(query.where(sessions.c.digest == digest, sessions.c.expires_at > now(), valid())).first()
        return None if row is None else key_of(row)

    def close(self, digest: str) -> bool:
        """End a session; True for the one caller that ended it."""
        with self._database.write() as connection:
            return connection.execute(delete(sessions).where(sessions.c.digest == digest)).rowcount == 1


class Tickets:
    """The table of links that sign in: each once, within minutes, and for nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, digest: str, key_id: str, lasts_s: float) -> None:
        """A new ticket for that key; those that have expired go."""
        values = {"digest": digest, "key_id": key_id, "created_at": now(), "expires_at": now() + lasts_s}
        with self._database.write() as connection:
            connection.execute(delete(tickets).where(tickets.c.expires_at < now()))
            connection.execute(insert(tickets).values(**values))

    def redeem(self, digest: str) -> ApiKey | None:
        """The key that the ticket stands for, to the one caller that redeems it in time."""
        mine = delete(tickets).where(tickets.c.digest == digest).returning(tickets.c.key_id, tickets.c.expires_at > now())
        with self._database.write() as connection:
            row = connection.execute(mine).one_or_none()
            if row is None or not row[1]:
                return None
            key = connection.execute(select(keys).where(keys.c.id == row[0], valid())).one_or_none()
        return None if key is None else key_of(key)


class Audit:
    """The log of every request that changed something, or tried to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, actor: str, address: str, action: str, target: str, status: int) -> None:
        """Append an entry."""
        values = {"actor": actor, "address": address, "action": action, "target": target, "status": status}
        with self._database.write() as connection:
            connection.execute(insert(audit).values(**values, at=now()))

    def page(self, before: int | None = None, limit: int = 50, *, actor: str | None = None) -> list[AuditEntry]:
        """Entries before that number, newest first."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        if actor is not None:
            query = query.where(audit.c.actor == actor)
        with self._database.read() as connection:
            return [rows.record(AuditEntry, row) for row in connection.execute(query)]


def valid() -> ColumnElement[bool]:
    """A key that is neither revoked nor expired."""
    return and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now()))


def key_of(row: rows.AnyRow) -> ApiKey:
    """A row of `keys`."""
    return rows.record(ApiKey, row, role=Role(row.role))
