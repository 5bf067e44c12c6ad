"""People whom an identity provider vouches for: each has a key that nobody can show, for as long as a session lasts."""

from sqlalchemy import Insert, Update, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from workers.errors import Unauthenticated
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import keys, signins
from workers.jobs.records import ApiKey, Role
from workers.jobs.store.keys import key_of

NO_SECRET = "-"  # no digest of any secret


class Identities:
    """Rows of the table of keys that stand for people, and the sign-ins that are spent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spend(self, digest: str, lasts_s: float) -> bool:
        """Use a sign-in up; False when it was used before. It is remembered for `lasts_s`, after which it is too old anyway."""
        try:
            with self._database.write() as connection:
                connection.execute(delete(signins).where(signins.c.expires_at < now()))
                connection.execute(insert(signins).values(digest=digest, expires_at=now() + lasts_s))
        except IntegrityError:
            return False
        return True

    def admit(self, key_id: str, identity: str, name: str, role: Role, project: str, lasts_s: float) -> ApiKey:
        """The key of `identity`, with the role and project it has now. Raises Unauthenticated when it was revoked."""
        values = {"name": name, "role": role, "project": project}
        with self._database.write() as connection:
            expires_at = now() + lasts_s
            change: Insert | Update
            row = connection.execute(select(keys).where(keys.c.id == key_id).with_for_update()).one_or_none()
            if row is None:
                first = {"id": key_id, "digest": NO_SECRET, "created_by": identity, "created_at": now()}
                change = insert(keys).values(**first, **values, expires_at=expires_at)
            elif row.revoked_at is not None or row.created_by != identity:
                raise Unauthenticated
            else:
                change = update(keys).where(keys.c.id == key_id).values(**values, expires_at=expires_at)
            return key_of(connection.execute(change.returning(keys)).one())
