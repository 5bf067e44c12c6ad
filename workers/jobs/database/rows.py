"""From rows to records, and the cursors between pages of them."""

import dataclasses
import json
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, null, tuple_

from workers.errors import NotFound
from workers.jobs.database.tables import jobs
from workers.jobs.job import Failure, Kind, Priority, Progress, Stage, State
from workers.jobs.records import Job, Page

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]


def record(cls: type[T], row: AnyRow, **converted: Any) -> T:
    """An instance of the dataclass `cls` from the columns of the same names."""
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in row._mapping.items() if name in fields} | converted)


def without_recipe() -> list[ColumnElement[Any]]:
    """The columns of a job as listings have them: a recipe may be long, and a listing has many."""
    return [*(column for column in jobs.c if column.name != "recipe"), null().label("recipe")]


def job_of(row: AnyRow) -> Job:
    """A row of `jobs`."""
    return record(
        Job,
        row,
        kind=Kind(row.kind),
        state=State(row.state),
        priority=Priority.of(row.priority),
        progress=row.progress and Progress(**row.progress | {"stage": Stage(row.progress["stage"])}),
        failure=row.failure and failure(row.failure),
    )


def failure(data: dict[str, Any]) -> Failure:
    """A failure as stored."""
    return Failure(**data | {"stage": data["stage"] and Stage(data["stage"])})


def newest_first(
    query: Select[*tuple[Any, ...]], table: Table, cursor: str | None, limit: int, key: str = "id"
) -> Select[*tuple[Any, ...]]:
    """One row more than a page, so that `page` sees whether another follows."""
    order = (table.c.created_at, table.c[key])
    if cursor:
        query = query.where(tuple_(*order) < tuple_(*_position(cursor)))
    return query.order_by(*(column.desc() for column in order)).limit(limit + 1)


def page_of(rows: Sequence[AnyRow], limit: int, convert: Callable[[AnyRow], T], key: str = "id") -> Page[T]:
    """The rows of a `newest_first` query."""
    more = len(rows) > limit
    last = rows[:limit][-1]._mapping if more else {}
    return Page(tuple(convert(row) for row in rows[:limit]), _cursor(last["created_at"], last[key]) if more else None)


def _cursor(created_at: float, identifier: str) -> str:
    return urlsafe_b64encode(json.dumps([created_at, identifier]).encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[float, str]:
    try:
        created_at, identifier = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        position = float(created_at), str(identifier)
        if not (math.isfinite(position[0]) and position[1].isascii() and position[1].isprintable()):
            raise ValueError("no row is there")
        return position
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotFound("There is no page at this cursor.", hint="Start again without a cursor.") from error
