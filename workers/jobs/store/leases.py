"""Jobs as workers see them: claim one, keep its lease, record what happens, end it once.

Every statement names the attempt it speaks for. A worker that was given up, and comes back, changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, select, update

from workers.errors import TooManyAttempts
from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import artifacts, assets, jobs
from workers.jobs.job import Failure, Kind, Progress, State
from workers.jobs.lease_watch import Held, LeaseWatch
from workers.jobs.records import Artifact, Job, JsonObject
from workers.jobs.store.jobs import INSPECTS, in_turn
from workers.jobs.store.timeline import advance, end

HELD = frozenset({State.RUNNING, State.CANCELING})


class Leases:
    """The table of jobs, from the worker's side."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = LeaseWatch()

    def foremost(self, job_id: str) -> str | None:
        """The job whose turn it is of all that wait for the same workers as `job_id` was for; None if none does.

        So a job that lost its worker goes on before those that came after it, wherever its message stands in the queue.
        """
        same = jobs.alias()
        runs_on = select(same.c.runs_on).where(same.c.id == job_id).scalar_subquery()
        waiting = and_(jobs.c.state == State.QUEUED, jobs.c.runs_on.is_not_distinct_from(runs_on))
        query = select(jobs.c.id).where(waiting).order_by(*in_turn(jobs)).limit(1)
        with self._database.read() as connection:
            return connection.scalar(query)

    def claim(self, job_id: str, worker: str, lease_s: float) -> Job | None:
        """Take a waiting job for `lease_s` seconds; None when it does not wait (any more)."""
        with self._database.write() as connection:
            row = advance(
                connection, job_id, {State.QUEUED}, "state", {"state": State.RUNNING, "worker": worker},
                state=State.RUNNING, worker=worker, attempt=jobs.c.attempt + 1, lease_until=now() + lease_s,
                started_at=func.coalesce(jobs.c.started_at, now()), progress=None, eta_s=None,
            )  # fmt: skip
            return rows.job_of(row) if row is not None else None

    def renew(self, job_id: str, attempt: int, lease_s: float) -> State | None:
        """Keep the job for another `lease_s` seconds: RUNNING, or CANCELING to stop. None: it is not ours any more."""
        statement = (
            update(jobs).where(jobs.c.id == job_id, _holds(attempt)).values(lease_until=now() + lease_s).returning(jobs.c.state)
        )
        with self._database.write() as connection:
            state = connection.scalar(statement)
            return State(state) if state is not None else None

    def progress(self, job_id: str, attempt: int, progress: Progress, eta_s: float | None) -> bool:
        """Record how far the job is; False when it is not ours any more."""
        data = asdict(progress)
        with self._database.write() as connection:
            row = advance(
                connection, job_id, HELD, "progress", data | {"eta_s": eta_s}, _holds(attempt), progress=data, eta_s=eta_s
            )
            return row is not None

    def layer(self, job_id: str, attempt: int, layer: JsonObject) -> bool:
        """Record a finished layer, a row of the report; False when the job is not ours any more."""
        with self._database.write() as connection:
            return advance(connection, job_id, HELD, "layer", layer, _holds(attempt)) is not None

    def publish(
        self,
        job_id: str,
        attempt: int,
        files: Sequence[Artifact],
        *,
        summary: JsonObject | None = None,
        constraint: JsonObject | None = None,
        inspection: JsonObject | None = None,
        stages: dict[str, float] | None = None,
    ) -> bool:
        """End with success, and show the results in the same transaction; False when the job was canceled or lost.

        May be repeated, for a caller that did not hear the answer.
        """
        with self._database.write() as connection:
            row = end(
                connection, job_id, {State.RUNNING}, State.SUCCEEDED, _holds(attempt),
                summary=summary, constraint=constraint, stages=stages,
            )  # fmt: skip
            if row is None:
                done = and_(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state == State.SUCCEEDED)
                return connection.scalar(select(jobs.c.id).where(done)) is not None
            if files:
                connection.execute(insert(artifacts), [asdict(file) | {"job_id": job_id} for file in files])
            if inspection is not None:
                asset = and_(assets.c.kind == INSPECTS[Kind(row.kind)], assets.c.sha256 == row.model)
                connection.execute(update(assets).where(asset).values(inspection=inspection))
            return True

    def fail(self, job_id: str, attempt: int, failure: Failure, stages: dict[str, float] | None = None) -> bool:
        """End without success: CANCELED if that was asked for, else FAILED. False when the job is not ours any more."""
        with self._database.write() as connection:
            ended = end(connection, job_id, {State.CANCELING}, State.CANCELED, _holds(attempt), stages=stages)
            ended = ended or end(
                connection, job_id, {State.RUNNING}, State.FAILED, _holds(attempt), failure=failure, stages=stages
            )
            return ended is not None

    def release(self, job_id: str, attempt: int) -> bool:
        """Give a running job back, for another worker to start anew. The next reconciler sends its message."""
        with self._database.write() as connection:
            row = advance(
                connection, job_id, {State.RUNNING}, "state", {"state": State.QUEUED}, _holds(attempt),
                state=State.QUEUED, lease_until=None, worker=None, enqueued_at=0.0,
            )  # fmt: skip
            return row is not None

    def expire(self, max_attempts: int, longest_s: float = math.inf) -> list[str]:
        """Deal with workers that fell silent: requeue their jobs, or end those asked to stop or tried too often.

        `longest_s` is how long a lease is at most, for clocks that were set meanwhile. Returns the jobs that wait again. Any
        number of processes may call this at any time.
        """
        requeued = []
        for lease in self._watch.overdue(self._held(), longest_s):
            with self._database.write() as connection:
                mine = and_(_holds(lease.attempt), jobs.c.lease_until == lease.until)
                end(connection, lease.job_id, {State.CANCELING}, State.CANCELED, mine)
                if lease.attempt >= max_attempts:
                    end(connection, lease.job_id, {State.RUNNING}, State.FAILED, mine, failure=_poison(max_attempts))
                elif advance(
                    connection, lease.job_id, {State.RUNNING}, "state", {"state": State.QUEUED, "reason": "worker lost"}, mine,
                    state=State.QUEUED, lease_until=None, worker=None, enqueued_at=now(),
                ):  # fmt: skip
                    requeued.append(lease.job_id)
        return requeued

    def _held(self) -> list[Held]:
        columns: tuple[ColumnElement[Any], ...] = (jobs.c.id, jobs.c.attempt, jobs.c.lease_until, jobs.c.lease_until - now())
        held = and_(jobs.c.state.in_(HELD), jobs.c.lease_until.is_not(None))
        with self._database.read() as connection:
            return [Held(row[0], row[1], row[2], row[3]) for row in connection.execute(select(*columns).where(held))]

    def waiting(self) -> dict[str | None, int]:
        """How many jobs wait, by the class of workers that they ask for."""
        query = select(jobs.c.runs_on, func.count()).where(jobs.c.state == State.QUEUED).group_by(jobs.c.runs_on)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def unheard(self, age_s: float, limit: int, runs_on: str | None = None) -> list[str]:
        """Up to `limit` jobs that wait for that class, oldest first, whose message is over `age_s` seconds old: it may be lost.

        They count as sent again: the caller sends the message.
        """
        waiting = and_(
            jobs.c.state == State.QUEUED, jobs.c.enqueued_at < now() - age_s, jobs.c.runs_on.is_not_distinct_from(runs_on)
        )
        oldest = select(jobs.c.id).where(waiting).order_by(*in_turn(jobs)).limit(limit)
        statement = update(jobs).where(jobs.c.id.in_(oldest), waiting).values(enqueued_at=now()).returning(jobs.c.id)
        with self._database.write() as connection:
            return list(connection.scalars(statement))


def _holds(attempt: int) -> ColumnElement[bool]:
    return and_(jobs.c.attempt == attempt, jobs.c.state.in_(HELD))


def _poison(attempts: int) -> Failure:
    error = TooManyAttempts(f"The job took down its worker {attempts} times.")
    return Failure(code=error.code, message=error.message, hint=error.hint)
