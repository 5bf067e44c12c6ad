"""Uploaded models and datasets, and uploads that are still under way."""

from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import Connection, and_, delete, func, insert, or_, select
from sqlalchemy.sql.elements import ColumnElement

from workers.errors import Conflict, JobFailure, NotFound, QuotaExceeded
from workers.jobs.database import rows
from workers.jobs.database.connection import Database, now
from workers.jobs.database.scope import COMMON, EVERYTHING, Scope
from workers.jobs.database.tables import assets, grants, jobs, uploads
from workers.jobs.job import TERMINAL, Kind, State
from workers.jobs.records import Asset, AssetKind, Job, Page, Request, Upload
from workers.jobs.store.jobs import add as add_job
from workers.jobs.store.jobs import granted

BREAKDOWNS = frozenset(error.code for error in JobFailure.__subclasses__())
WITH_INSPECTION = select(
    assets, jobs.c.state.label("job_state"), jobs.c.attempt.label("job_attempt"), jobs.c.failure
).outerjoin(jobs, jobs.c.id == assets.c.job_id)


class Assets:
    """Rows of models and datasets. Files are moved while their row is locked, so that rows and files agree."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        self._database = database
        self._scope = scope

    def add(
        self,
        kind: AssetKind,
        sha256: str,
        name: str,
        size: int,
        owner: str,
        place: Callable[[], object],
        quota_bytes: int | None = None,
    ) -> tuple[Asset, bool, Job | None]:
        """Put an upload on record; `place` puts its file in place.

        Returns the asset, whether it is new, and the job that will inspect it, if it needs inspection.
        Raises QuotaExceeded where it is new, and the owner's files together would be larger than `quota_bytes`.
        """
        values = {"kind": kind, "sha256": sha256, "name": name, "size": size, "owner": owner}
        insertion = self._database.insert(assets).values(**values, created_at=now(), used_at=now()).on_conflict_do_nothing()
        with self._database.write() as connection:
            if quota_bytes is not None:
                self._database.queue_up(connection, f"quota of {owner}")
            new = connection.scalar(insertion.returning(assets.c.sha256)) is not None
            if new and quota_bytes is not None:
                check_quota(_stored(connection, owner) - size, size, quota_bytes)
            grant = self._database.insert(grants).values(kind=kind, sha256=sha256, project=self._scope.project)
            connection.execute(grant.on_conflict_do_nothing())
            asset = _find(connection, kind, sha256, lock=True)
            place()
            job = None
            if _undecided(asset):
                of_model = kind == AssetKind.MODEL
                wanted = Request(Kind.INSPECT, sha256) if of_model else Request(Kind.INSPECT_DATASET, sha256, dataset=sha256)
                job = rows.job_of(add_job(connection, wanted, owner, uuid4().hex, self._scope))
                asset = _find(connection, kind, sha256)
        return asset, new, job

    def get(self, kind: AssetKind, sha256: str) -> Asset:
        """Raises NotFound."""
        with self._database.read() as connection:
            return _find(connection, kind, sha256, self._scope)

    def share(self, kind: AssetKind, sha256: str) -> Asset:
        """Let every project see it. Raises NotFound, Forbidden for what another project has shared."""
        with self._database.write() as connection:
            asset = _find(connection, kind, sha256, self._scope, lock=True)
            self._refuse_foreign(connection, kind, sha256)
            grant = self._database.insert(grants).values(kind=kind, sha256=sha256, project=COMMON)
            connection.execute(grant.on_conflict_do_nothing())
            return asset

    def page(self, kind: AssetKind, cursor: str | None = None, limit: int = 50, *, name: str | None = None) -> Page[Asset]:
        """Newest first; `name` is a part of the name."""
        query = WITH_INSPECTION.where(assets.c.kind == kind, granted(self._scope))
        if name is not None:
            query = query.where(assets.c.name.icontains(name, autoescape=True))
        query = rows.newest_first(query, assets, cursor, limit, key="sha256")
        with self._database.read() as connection:
            return rows.page_of(connection.execute(query).all(), limit, _asset, key="sha256")

    def remove(self, kind: AssetKind, sha256: str, discard: Callable[[], object]) -> None:
        """Forget an upload; `discard` removes its file, unless other projects have uploaded it too.

        Raises NotFound, Conflict while a job needs it, Forbidden for what another project has shared.
        """
        with self._database.write() as connection:
            _find(connection, kind, sha256, self._scope, lock=True)
            self._refuse_foreign(connection, kind, sha256)
            user = connection.scalar(select(jobs.c.id).where(_needs(kind, sha256), jobs.c.state.not_in(TERMINAL)).limit(1))
            if user is not None:
                raise Conflict(f"Job {user} needs this {kind}.", hint="Cancel the job, or wait for it to end.")
            ours = and_(_granted_to(kind, sha256), self._scope.sees(grants.c.project))
            connection.execute(delete(grants).where(ours))
            if connection.execute(select(grants.c.project).where(_granted_to(kind, sha256)).limit(1)).first() is None:
                connection.execute(delete(assets).where(_is(kind, sha256)))
                discard()

    def _refuse_foreign(self, connection: Connection, kind: AssetKind, sha256: str) -> None:
        mine = and_(_granted_to(kind, sha256), grants.c.project == self._scope.project)
        if connection.execute(select(grants.c.project).where(mine)).first() is None:
            self._scope.refuse_foreign("another")

    def stored_bytes(self, owner: str) -> int:
        """What the owner has stored, and has announced to store."""
        announced = select(func.coalesce(func.sum(uploads.c.size), 0)).where(uploads.c.owner == owner)
        with self._database.read() as connection:
            return _stored(connection, owner) + int(connection.scalar(announced) or 0)

    def announce(self, kind: AssetKind, sha256: str, name: str, size: int, owner: str) -> Upload:
        """Begin an upload in parts, or find the one that its owner has begun of the same file."""
        values = {"kind": kind, "sha256": sha256, "name": name, "size": size, "owner": owner}
        same = [uploads.c[key] == values[key] for key in ("kind", "sha256", "size", "owner")]
        with self._database.write() as connection:
            begun = connection.execute(
                select(uploads).where(*same).order_by(uploads.c.created_at.desc()).limit(1)
            ).one_or_none()
            if begun is not None:
                return rows.record(Upload, begun, kind=kind)
            insertion = insert(uploads).values(id=uuid4().hex, **values, created_at=now()).returning(uploads)
            return rows.record(Upload, connection.execute(insertion).one(), kind=kind)

    def announced(self, upload_id: str) -> Upload:
        """Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(uploads).where(uploads.c.id == upload_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no upload {upload_id}.", hint="It was completed, given up or too old. Begin another one.")
        return rows.record(Upload, row, kind=AssetKind(row.kind))

    def forget(self, upload_id: str) -> None:
        """The upload is complete, or given up."""
        with self._database.write() as connection:
            connection.execute(delete(uploads).where(uploads.c.id == upload_id))


def _is(kind: AssetKind, sha256: str) -> ColumnElement[bool]:
    return and_(assets.c.kind == kind, assets.c.sha256 == sha256)


def _granted_to(kind: AssetKind, sha256: str) -> ColumnElement[bool]:
    return and_(grants.c.kind == kind, grants.c.sha256 == sha256)


def _needs(kind: AssetKind, sha256: str) -> ColumnElement[bool]:
    if kind == AssetKind.MODEL:
        return or_(jobs.c.model == sha256, jobs.c.recipe["decoder"].as_string() == sha256)
    return or_(jobs.c.dataset == sha256, jobs.c.evaluation == sha256)


def check_quota(stored: int, size: int, quota_bytes: int) -> None:
    """Raises QuotaExceeded where `size` bytes more than `stored` are too many."""
    if stored + size > quota_bytes:
        raise QuotaExceeded(f"{stored} of {quota_bytes} bytes are used; {size} more are too many.")


def _stored(connection: Connection, owner: str) -> int:
    stored = select(func.coalesce(func.sum(assets.c.size), 0)).where(assets.c.owner == owner)
    return int(connection.scalar(stored) or 0)


def _find(connection: Connection, kind: AssetKind, sha256: str, scope: Scope = EVERYTHING, *, lock: bool = False) -> Asset:
    query = WITH_INSPECTION.where(_is(kind, sha256), granted(scope))
    row = connection.execute(query.with_for_update(of=assets) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"There is no {kind} {sha256}.")
    return _asset(row)


def _asset(row: rows.AnyRow) -> Asset:
    failure = row.failure and rows.failure(row.failure)
    return rows.record(Asset, row, kind=AssetKind(row.kind), job_state=row.job_state and State(row.job_state), failure=failure)


def _undecided(model: Asset) -> bool:
    """Whether the inspection is missing, or ended without a verdict on the model, so that it is worth another try."""
    if model.job_state is None:
        return model.inspection is None
    return model.job_state == State.CANCELED or (model.failure is not None and model.failure.code in BREAKDOWNS)
