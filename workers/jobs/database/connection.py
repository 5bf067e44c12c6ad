"""The connection to SQLite or PostgreSQL, with transactions that mean the same on both."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Double, NullPool, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, TimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from workers.errors import Unavailable

BUSY_TIMEOUT_S = 15
MIGRATION_LOCK = int.from_bytes(b"fractune")


class now(FunctionElement[float]):
    """Seconds since 1970 by the clock that all processes share: the database's."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql_now(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::float8"


class Database:
    """An engine whose writing transactions never read stale rows and never deadlock on upgrade."""

    def __init__(self, url: str, *, pooled: bool = True) -> None:
        """`pooled=False` for a process that forks: no connection outlives its transaction."""
        options: dict[str, Any] = {} if pooled else {"poolclass": NullPool}
        if pooled and url.startswith("sqlite"):
            options |= {"pool_size": 50, "max_overflow": 0}  # to open one takes longer than to ask, and idle ones cost nothing
        elif pooled:
            options |= {"pool_size": 10, "max_overflow": 40, "pool_pre_ping": True}
        self.engine = create_engine(url, json_serializer=_to_json, **options)
        self.dialect = self.engine.dialect.name
        self._inode = 0  # of the file, once it was looked at
        if self.dialect == "sqlite":
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._reader = self.engine.execution_options(
            **({"deferred": True} if self.dialect == "sqlite" else {"isolation_level": "AUTOCOMMIT"})
        )

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end. Raises Unavailable."""
        with _store_errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """A transaction that only one process has at a time."""
        with _store_errors(), self.engine.begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Reading only; waits for no writer. Raises Unavailable."""
        with _store_errors(), self._reader.connect() as connection:
            yield connection

    def check_file(self) -> None:
        """Raises Unavailable when the file of an SQLite store is gone, or another one has its name."""
        path = self.engine.url.database if self.dialect == "sqlite" else None
        if not path:
            return
        try:
            found = os.stat(path).st_ino
        except OSError as error:
            raise Unavailable(f"The file of the job store is gone: {error}", hint="Restart the service.") from error
        self._inode = self._inode or found
        if found != self._inode:
            raise Unavailable("The file of the job store was replaced.", hint="Restart the service.")

    def version(self) -> int | None:
        """A number that changes when anybody, in whatever process, has written; None where the database does not tell."""
        try:
            return self._watch.execute("PRAGMA data_version").fetchone()[0] if self._watch else None
        except sqlite3.Error:
            return None

    @cached_property
    def _watch(self) -> sqlite3.Connection | None:
        """A connection that never writes, so that all writing is that of others."""
        path = self.engine.url.database if self.dialect == "sqlite" else None
        return sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True, check_same_thread=False) if path else None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self.__dict__.get("_watch"):
            self.__dict__.pop("_watch").close()

    def queue_up(self, connection: Connection, name: str) -> None:
        """Wait until no other writing transaction that named the same is open. SQLite has one at a time anyway."""
        if self.dialect == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """An INSERT that knows ON CONFLICT."""
        return postgresql.insert(table) if self.dialect == "postgresql" else sqlite.insert(table)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError):
        raise  # our mistake, not the database's
    except (DBAPIError, TimeoutError) as error:
        raise Unavailable(f"The job store does not answer: {error.args[0]}") from error


def _to_json(value: Any) -> str:
    """JSON that both databases take: NaN and infinities become null, NUL becomes the replacement character."""
    return to_json(value, inf_nan_mode="null").decode().replace("\\u0000", "\\ufffd")


def _configure_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite opens the transactions
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """A new file changes to WAL under an exclusive lock, for which SQLite does not wait: busy_timeout counts for nothing."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    """IMMEDIATE: a deferred transaction that starts to write fails with "locked" in spite of busy_timeout."""
    deferred = connection.get_execution_options().get("deferred", False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")
