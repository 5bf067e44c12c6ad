"""Sessions: a random token stands for an API key until it expires, is closed, or the key opens nothing any more."""

from sqlalchemy import delete, insert, select

from workers.jobs.records import ApiKey
from workers.jobs.store.database import Database, now
from workers.jobs.store.keys import key_of, valid
from workers.jobs.store.tables import keys, sessions


class Sessions:
    """The table of sessions; it holds digests of the tokens, from which none can be made."""

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
