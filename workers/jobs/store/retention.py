"""What is old enough to go."""

from collections.abc import Callable

from sqlalchemy import delete, exists, select

from workers.errors import Conflict
from workers.jobs.database.connection import Database, now
from workers.jobs.database.scope import EVERYTHING, Scope
from workers.jobs.database.tables import assets, audit, deliveries, idempotency, jobs, uploads
from workers.jobs.job import TERMINAL
from workers.jobs.records import AssetKind
from workers.jobs.store.jobs import find_row


class Retention:
    """Finds and removes rows by age; files go in the same breath."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        self._database = database
        self._scope = scope

    def ended_jobs(self, age_s: float, limit: int) -> list[str]:
        """Jobs that ended over `age_s` seconds ago, except the inspections of models that are still there."""
        inspection = exists().where(assets.c.job_id == jobs.c.id)
        query = select(jobs.c.id).where(jobs.c.ended_at < now() - age_s, ~inspection).order_by(jobs.c.ended_at).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def unused_assets(self, age_s: float, limit: int) -> list[tuple[AssetKind, str]]:
        """Uploads that no job has named for `age_s` seconds."""
        query = select(assets.c.kind, assets.c.sha256).where(assets.c.used_at < now() - age_s).limit(limit)
        with self._database.read() as connection:
            return [(AssetKind(row.kind), row.sha256) for row in connection.execute(query)]

    def abandoned_uploads(self, age_s: float) -> list[str]:
        """Uploads in parts that were begun over `age_s` seconds ago."""
        with self._database.read() as connection:
            return list(connection.scalars(select(uploads.c.id).where(uploads.c.created_at < now() - age_s)))

    def remove_job(self, job_id: str, discard: Callable[[], object]) -> None:
        """Remove an ended job with its events; `discard` removes its files. Raises NotFound, Conflict."""
        with self._database.write() as connection:
            row = find_row(connection, job_id, self._scope, lock=True)
            self._scope.refuse_foreign(row.project)
            if row.state not in TERMINAL:
                raise Conflict(f"Job {job_id} has not ended: {row.state}.", hint="Cancel it first.")
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
            discard()

    def forget_keys(self, age_s: float) -> None:
        """Idempotency keys of over `age_s` seconds stand for nothing any more."""
        with self._database.write() as connection:
            connection.execute(delete(idempotency).where(idempotency.c.created_at < now() - age_s))

    def forget_records(self, age_s: float) -> None:
        """Remove audit entries and ended deliveries of over `age_s` seconds."""
        with self._database.write() as connection:
            connection.execute(delete(audit).where(audit.c.at < now() - age_s))
            connection.execute(delete(deliveries).where(deliveries.c.ended_at < now() - age_s))
