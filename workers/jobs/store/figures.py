"""Sums over all jobs, for monitoring."""

from dataclasses import dataclass

from sqlalchemy import func, select

from workers.jobs.database.connection import Database
from workers.jobs.database.scope import EVERYTHING, Scope
from workers.jobs.database.tables import deliveries, jobs
from workers.jobs.job import Stage, State


@dataclass(frozen=True, slots=True)
class StageTotal:
    """How long a stage took, over all ended jobs that went through it."""

    count: int
    seconds: float


class Figures:
    """Counts and sums, each one query."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        self._database = database
        self._scope = scope

    def jobs(self) -> dict[tuple[str, str], int]:
        """Number of jobs by kind and state."""
        query = select(jobs.c.kind, jobs.c.state, func.count()).where(self._scope.sees(jobs.c.project))
        query = query.group_by(jobs.c.kind, jobs.c.state)
        with self._database.read() as connection:
            return {(kind, state): count for kind, state, count in connection.execute(query)}

    def failures(self) -> dict[str, int]:
        """Number of failed jobs by code."""
        code = jobs.c.failure["code"].as_string()
        query = select(code, func.count()).where(jobs.c.state == State.FAILED).group_by(code)
        with self._database.read() as connection:
            return {code: count for code, count in connection.execute(query)}

    def stages(self) -> dict[Stage, StageTotal]:
        """Time by stage."""
        seconds = [jobs.c.stages[stage].as_float() for stage in Stage]
        query = select(*(figure for column in seconds for figure in (func.count(column), func.coalesce(func.sum(column), 0.0))))
        with self._database.read() as connection:
            row = tuple(connection.execute(query).one())
        return {stage: StageTotal(*row[2 * place : 2 * place + 2]) for place, stage in enumerate(Stage)}

    def deliveries(self) -> dict[str, int]:
        """Number of webhook deliveries by state."""
        query = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
        with self._database.read() as connection:
            return {state: count for state, count in connection.execute(query)}
