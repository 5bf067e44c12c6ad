"""Jobs as a table that people filter, search and sort; pages are numbered, as people turn them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from workers.jobs.database import rows
from workers.jobs.database.connection import Database
from workers.jobs.database.scope import EVERYTHING, Scope
from workers.jobs.database.tables import assets, jobs
from workers.jobs.job import Kind, State
from workers.jobs.records import AssetKind, Job


class Order(StrEnum):
    """What the table can be sorted by."""

    CREATED = "created"
    NAME = "name"
    STATE = "state"
    SIZE = "size"
    FIDELITY = "fidelity"
    SPEED = "speed"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs, in which order."""

    states: frozenset[State] = frozenset()
    method: str | None = None
    model: str | None = None  # sha256
    dataset: str | None = None  # sha256, of what calibrates or judges
    search: str = ""  # a part of the name, the model's name, or the beginning of the id
    order: Order = Order.CREATED
    falling: bool = True


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of the table."""

    job: Job
    model_name: str  # empty when the model is gone


@dataclass(frozen=True, slots=True)
class JobRows:
    """A page of the table."""

    items: tuple[JobRow, ...]
    total: int


def _figure(name: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = jobs.c.summary[name].as_float()
    return column


COLUMNS: dict[Order, ColumnElement[Any]] = {
    Order.CREATED: jobs.c.created_at,
    Order.NAME: func.lower(jobs.c.name),
    Order.STATE: jobs.c.state,
    # as the table shows it: zipped, where both are known
    Order.SIZE: func.coalesce(
        _figure("zip_bytes") / func.nullif(_figure("original_zip_bytes"), 0),
        _figure("compressed_bytes") / func.nullif(_figure("original_bytes"), 0),
    ),
    Order.FIDELITY: func.coalesce(_figure("agreement"), 1 - _figure("accuracy_original") + _figure("accuracy_compressed")),
    Order.SPEED: _figure("ratio"),
}
MODEL = and_(assets.c.kind == AssetKind.MODEL, assets.c.sha256 == jobs.c.model)


class Listing:
    """The table of jobs, for eyes."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        self._database = database
        self._scope = scope

    def page(self, wanted: JobFilter, page: int = 1, limit: int = 50) -> JobRows:
        """Page number `page` of the compressions that are wanted; those without a figure come last. Without recipes."""
        found = (
            select(*rows.without_recipe(), assets.c.name.label("model_name"))
            .select_from(jobs)
            .outerjoin(assets, MODEL)
            .where(*_conditions(wanted), self._scope.sees(jobs.c.project))
        )
        column = COLUMNS[wanted.order]
        ordered = (column.desc() if wanted.falling else column.asc()).nulls_last()
        query = found.order_by(ordered, jobs.c.created_at.desc(), jobs.c.id).limit(limit).offset((page - 1) * limit)
        count = (
            select(func.count())
            .select_from(jobs)
            .outerjoin(assets, MODEL)
            .where(*_conditions(wanted), self._scope.sees(jobs.c.project))
        )
        with self._database.read() as connection:
            total = connection.scalar(count) or 0
            return JobRows(tuple(_line(row) for row in connection.execute(query)), total)

    def lines(self, job_ids: list[str]) -> list[JobRow]:
        """Those of the jobs that are there, in the same order."""
        query = (
            select(jobs, assets.c.name.label("model_name"))
            .outerjoin(assets, MODEL)
            .where(jobs.c.id.in_(job_ids), self._scope.sees(jobs.c.project))
        )
        with self._database.read() as connection:
            found = {row.id: _line(row) for row in connection.execute(query)}
        return [found[job_id] for job_id in job_ids if job_id in found]


def _line(row: rows.AnyRow) -> JobRow:
    return JobRow(rows.job_of(row), row.model_name or "")


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [jobs.c.kind == Kind.COMPRESS]
    if wanted.states:
        conditions.append(jobs.c.state.in_(wanted.states))
    if wanted.method:
        conditions.append(("+" + jobs.c.methods + "+").contains(f"+{wanted.method}+", autoescape=True))
    if wanted.model:
        conditions.append(jobs.c.model == wanted.model)
    if wanted.dataset:
        conditions.append(or_(jobs.c.dataset == wanted.dataset, jobs.c.evaluation == wanted.dataset))
    if wanted.search:
        named = [column.icontains(wanted.search, autoescape=True) for column in (jobs.c.name, assets.c.name)]
        conditions.append(or_(*named, jobs.c.id.startswith(wanted.search.lower(), autoescape=True)))
    return conditions
