"""Workers: who is there, on which machine, and at work on what."""

from sqlalchemy import and_, delete, select

from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import jobs, workers
from workers.jobs.job import State
from workers.jobs.records import JsonObject, Worker

FORGOTTEN_S = 24 * 3600.0


class Workers:
    """The table of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, worker_id: str, machine: JsonObject, labels: dict[str, str]) -> None:
        """A sign of life; of a worker that comes back under its old name, what it is now counts."""
        latest = {"machine": machine, "labels": labels, "seen_at": now()}
        insertion = self._database.insert(workers).values(id=worker_id, started_at=now(), **latest)
        with self._database.write() as connection:
            connection.execute(insertion.on_conflict_do_update(index_elements=["id"], set_=latest))
            connection.execute(delete(workers).where(workers.c.seen_at < now() - FORGOTTEN_S))

    def gone(self, worker_id: str) -> None:
        """The worker stops in good order."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker_id))

    def list(self) -> list[Worker]:
        """Everyone heard of within a day, by name."""
        held = and_(jobs.c.worker == workers.c.id, jobs.c.state.in_({State.RUNNING, State.CANCELING}))
        job = select(jobs.c.id).where(held).limit(1).scalar_subquery()
        query = select(workers, (now() - workers.c.seen_at).label("silent_s"), job.label("job_id")).order_by(workers.c.id)
        with self._database.read() as connection:
            return [rows.record(Worker, row) for row in connection.execute(query)]
