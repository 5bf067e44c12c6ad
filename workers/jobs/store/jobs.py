"""Jobs as clients see them: submit, read, list, cancel."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, insert, or_, select, true, update

from workers.errors import Conflict, IdempotencyMismatch, NotFound
from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.scope import COMMON, EVERYTHING, Scope
from workers.jobs.database.tables import artifacts, assets, events, grants, idempotency, jobs
from workers.jobs.job import Kind, Priority, State
from workers.jobs.records import Artifact, AssetKind, Job, JobEvent, JsonObject, Page, Request
from workers.jobs.store.timeline import advance, append_event, end

LONGEST_QUEUE = 1000  # of which a place is told


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs a list is to show; all of it must fit."""

    begins: str | None = None  # the first letters of the id
    state: State | None = None
    kind: Kind | None = None
    model: str | None = None
    method: str | None = None  # one of the recipe's
    name: str | None = None  # a part of it
    labels: Mapping[str, str] = field(default_factory=dict)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Of a query of the jobs."""
        equal = {"state": self.state, "kind": self.kind, "model": self.model}
        conditions = [jobs.c[column] == value for column, value in equal.items() if value is not None]
        if self.begins is not None:
            conditions.append(jobs.c.id.startswith(self.begins, autoescape=True))
        if self.method is not None:
            conditions.append(("+" + jobs.c.methods + "+").contains(f"+{self.method}+", autoescape=True))
        if self.name is not None:
            conditions.append(jobs.c.name.icontains(self.name, autoescape=True))
        return conditions + [jobs.c.labels[label].as_string() == value for label, value in self.labels.items()]


def in_turn(table: Any) -> tuple[ColumnElement[Any], ...]:
    """The order in which waiting jobs are done: what looks at uploads first, then by priority and by age."""
    return (table.c.kind == Kind.COMPRESS, table.c.priority.desc(), table.c.created_at, table.c.id)


class Jobs:
    """The table of jobs, from the client's side."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        self._database = database
        self._scope = scope

    def submit(self, request: Request, owner: str, key: str | None = None) -> tuple[Job, bool]:
        """A new job, or the one that `key` (Idempotency-Key) stands for; True when it is new.

        Raises NotFound for a model or dataset that is not stored, IdempotencyMismatch for a key used for another request.
        """
        with self._database.write() as connection:
            job_id = uuid4().hex
            if key is not None:
                known = self._known(connection, request, owner, key, job_id)
                if known is not None:
                    return known, False
            return rows.job_of(add(connection, request, owner, job_id, self._scope)), True

    def _known(self, connection: Connection, request: Request, owner: str, key: str, job_id: str) -> Job | None:
        """The job that `key` stands for already; else `key` stands for `job_id` from now on."""
        fingerprint = hashlib.sha256(json.dumps(asdict(request), sort_keys=True).encode()).hexdigest()
        claim = self._database.insert(idempotency).values(
            owner=owner, key=key, fingerprint=fingerprint, job_id=job_id, created_at=now()
        )
        connection.execute(claim.on_conflict_do_nothing())
        mine = and_(idempotency.c.owner == owner, idempotency.c.key == key)
        held = connection.execute(select(idempotency.c.fingerprint, idempotency.c.job_id).where(mine)).one()
        if held.fingerprint != fingerprint:
            raise IdempotencyMismatch
        return None if held.job_id == job_id else rows.job_of(find_row(connection, held.job_id))

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        with self._database.read() as connection:
            return rows.job_of(find_row(connection, job_id, self._scope))

    def share(self, job_id: str) -> Job:
        """Let every project see the job. Raises NotFound, Forbidden for another project's."""
        with self._database.write() as connection:
            self._scope.refuse_foreign(find_row(connection, job_id, self._scope, lock=True).project)
            shared = update(jobs).where(jobs.c.id == job_id).values(project=COMMON).returning(jobs)
            return rows.job_of(connection.execute(shared).one())

    def page(self, cursor: str | None = None, limit: int = 50, wanted: JobQuery = JobQuery()) -> Page[Job]:
        """Newest first, without recipes."""
        conditions = [*wanted.conditions(), self._scope.sees(jobs.c.project)]
        query = rows.newest_first(select(*rows.without_recipe()).where(*conditions), jobs, cursor, limit)
        with self._database.read() as connection:
            return rows.page_of(connection.execute(query).all(), limit, rows.job_of)

    def cancel(self, job_id: str, patience_s: float) -> Job:
        """End a waiting job, or ask the worker of a running one to stop: it has `patience_s` seconds to show that it lives.

        Raises NotFound, Conflict when the job has ended.
        """
        with self._database.write() as connection:
            row = find_row(connection, job_id, self._scope, lock=True)
            self._scope.refuse_foreign(row.project)
            if row.state in {State.SUCCEEDED, State.FAILED}:
                raise Conflict(f"Job {job_id} has ended: {row.state}.", hint="Only jobs that have not ended can be canceled.")
            if row.state == State.QUEUED:
                row = end(connection, job_id, {State.QUEUED}, State.CANCELED) or row
            elif row.state == State.RUNNING:
                heard = now() + patience_s
                asked = advance(
                    connection, job_id, {State.RUNNING}, "state", {"state": State.CANCELING},
                    state=State.CANCELING, lease_until=case((jobs.c.lease_until < heard, jobs.c.lease_until), else_=heard),
                )  # fmt: skip
                row = asked or row
            return rows.job_of(row)

    def prioritize(self, job_id: str, priority: Priority) -> Job:
        """Let a waiting job go before or after others. Raises NotFound, Conflict when it does not wait."""
        with self._database.write() as connection:
            row = find_row(connection, job_id, self._scope, lock=True)
            self._scope.refuse_foreign(row.project)
            if row.state != State.QUEUED:
                raise Conflict(f"Job {job_id} does not wait: {row.state}.", hint="Only waiting jobs have a priority.")
            changed = update(jobs).where(jobs.c.id == job_id).values(priority=priority.rank).returning(jobs)
            return rows.job_of(connection.execute(changed).one())

    def queue(self) -> list[str]:
        """The ids of the compressions that wait, of whatever project, in the order in which they will be done."""
        waiting = and_(jobs.c.state == State.QUEUED, jobs.c.kind == Kind.COMPRESS)
        with self._database.read() as connection:
            return list(connection.scalars(select(jobs.c.id).where(waiting).order_by(*in_turn(jobs)).limit(LONGEST_QUEUE)))

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """The history after event number `after`, oldest first; empty for an unknown job."""
        query = select(events).where(events.c.job_id == job_id, events.c.seq > after).order_by(events.c.seq).limit(limit)
        with self._database.read() as connection:
            return [rows.record(JobEvent, row) for row in connection.execute(query)]

    def milestones(self, job_id: str) -> list[JobEvent]:
        """The states that a job has gone through, and the beginnings of its stages, oldest first."""
        stage = events.c.data["stage"].as_string()
        begun = select(func.min(events.c.seq)).where(events.c.job_id == job_id, events.c.type == "progress")
        marks = or_(events.c.type == "state", events.c.seq.in_(begun.group_by(events.c.attempt, stage)))
        query = select(events).where(events.c.job_id == job_id, marks).order_by(events.c.seq)
        with self._database.read() as connection:
            return [rows.record(JobEvent, row) for row in connection.execute(query)]

    def layers(self, job_id: str) -> list[JsonObject]:
        """The layers that the latest attempt has finished, in its order."""
        query = (
            select(events.c.data)
            .join(jobs, and_(jobs.c.id == events.c.job_id, jobs.c.attempt == events.c.attempt))
            .where(events.c.job_id == job_id, events.c.type == "layer")
            .order_by(events.c.seq)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def artifacts(self, job_id: str) -> list[Artifact]:
        """The published files, by name."""
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
        with self._database.read() as connection:
            return [rows.record(Artifact, row) for row in connection.execute(query)]


def find_row(connection: Connection, job_id: str, scope: Scope = EVERYTHING, *, lock: bool = False) -> rows.AnyRow:
    """The row of a job, locked until the transaction ends if asked. Raises NotFound."""
    query = select(jobs).where(jobs.c.id == job_id, scope.sees(jobs.c.project))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return row


INSPECTS = {Kind.INSPECT: AssetKind.MODEL, Kind.INSPECT_DATASET: AssetKind.DATASET}  # what an inspection is of


def granted(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of `assets` was uploaded to, or shared with, a project in scope."""
    same = and_(grants.c.kind == assets.c.kind, grants.c.sha256 == assets.c.sha256)
    return true() if scope.everything else exists().where(same, scope.sees(grants.c.project))


def add(connection: Connection, request: Request, owner: str, job_id: str, scope: Scope = EVERYTHING) -> rows.AnyRow:
    """Insert a job, and keep what it needs from being removed. Raises NotFound."""
    for kind, sha256 in request.needs():
        same = and_(assets.c.kind == kind, assets.c.sha256 == sha256, granted(scope))
        touched = update(assets).where(same).values(used_at=now())
        if connection.execute(touched).rowcount == 0:
            raise NotFound(f"There is no {kind} {sha256}.", hint=f"Upload it with POST /v1/{kind}s.")
    row = connection.execute(
        insert(jobs)
        .values(
            id=job_id,
            kind=request.kind,
            state=State.QUEUED,
            model=request.model,
            dataset=request.dataset,
            evaluation=request.evaluation,
            recipe=request.recipe,
            methods=request.methods(),
            name=request.name,
            labels=request.labels,
            owner=owner,
            project=scope.project,
            retry_of=request.retry_of,
            runs_on=request.runs_on,
            priority=request.priority.rank,
            attempt=0,
            enqueued_at=now(),
            created_at=now(),
            last_event=1,
        )
        .returning(jobs)
    ).one()
    append_event(connection, row, "state", {"state": State.QUEUED})
    if request.kind in INSPECTS:
        asset = and_(assets.c.kind == INSPECTS[request.kind], assets.c.sha256 == request.model)
        connection.execute(update(assets).where(asset).values(job_id=job_id))
    return row
