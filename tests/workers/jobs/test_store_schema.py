"""The schema and the transactions, on SQLite and on PostgreSQL."""

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from workers.errors import QuotaExceeded, Unavailable
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import metadata
from workers.jobs.job import Kind
from workers.jobs.records import AssetKind, Request
from workers.jobs.store import Store

MODEL = "a" * 64


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Another process's view of the same rows."""
    database = Database(url)
    yield database
    database.engine.dispose()


def test_the_migrations_lead_to_the_tables(store: Store, database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_processes_that_start_together_migrate_once(url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(migrate, [url] * 2)
    store = Store(url)
    store.ping()
    store.close()


def migrate(url: str) -> None:
    store = Store(url)
    store.migrate()
    store.close()


def test_a_schema_of_a_newer_version_is_refused_by_name(store: Store, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of_tomorrow'"))
    with pytest.raises(Unavailable, match="newer version of Fractune.*of_tomorrow") as refused:
        store.migrate()
    assert "Upgrade" in refused.value.hint


def test_the_clock_is_the_databases_in_seconds(database: Database) -> None:
    before = time.time()
    with database.read() as connection:
        found = connection.scalar(select(now()))
    assert before - 1 < found < time.time() + 1


def test_writers_lose_no_update(store: Store, database: Database) -> None:
    """Read, then write, in one transaction; a stale read would lose counts."""
    store.assets.add(AssetKind.MODEL, MODEL, "m", 0, "me", lambda: None)
    lock = "" if database.dialect == "sqlite" else " FOR UPDATE"

    def increment(_: int) -> None:
        with database.write() as connection:
            size = connection.scalar(text("SELECT size FROM assets" + lock))
            connection.execute(text("UPDATE assets SET size = :size"), {"size": (size or 0) + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(100)))
    assert store.assets.get(AssetKind.MODEL, MODEL).size == 100


def test_a_reader_waits_for_no_writer(store: Store, database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("DELETE FROM audit"))
        assert store.jobs.page().items == ()


def test_many_threads_share_a_store(store: Store) -> None:
    store.assets.add(AssetKind.MODEL, MODEL, "m", 0, "me", lambda: None)
    with ThreadPoolExecutor(24) as pool:
        jobs = list(
            pool.map(lambda n: store.jobs.submit(Request(Kind.COMPRESS, MODEL, {"steps": []}), "me", str(n % 12)), range(48))
        )
    assert sum(new for _, new in jobs) == 12
    assert len({job.id for job, _ in jobs}) == 12


def test_a_database_that_is_away_is_a_typed_error(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/no/such/folder.db", "postgresql+psycopg://nobody@127.0.0.1:1/x?connect_timeout=1"):
        with pytest.raises(Unavailable):
            Store(url).ping()


def test_a_killed_writer_leaves_no_half_transaction(tmp_path: Path) -> None:
    """What kill -9 leaves behind: an open transaction in the write-ahead log."""
    store = Store(f"sqlite:///{tmp_path}/fractune.db")
    store.migrate()
    store.assets.add(AssetKind.MODEL, MODEL, "m", 7, "me", lambda: None)
    child = multiprocessing.get_context("spawn").Process(target=die_while_writing, args=(tmp_path / "fractune.db",))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert store.assets.get(AssetKind.MODEL, MODEL).size == 7
    store.jobs.submit(Request(Kind.COMPRESS, MODEL, {"steps": []}), "me")
    store.close()


def die_while_writing(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE assets SET size = 8")
    os.kill(os.getpid(), 9)


def test_a_quota_holds_for_uploads_that_end_together(store: Store) -> None:
    def add(number: int) -> bool:
        try:
            return store.assets.add(AssetKind.DATASET, f"{number:064}", "d", 10, "me", lambda: None, quota_bytes=35)[1]
        except QuotaExceeded:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 3
    assert store.assets.stored_bytes("me") == 30
    assert store.assets.add(AssetKind.DATASET, f"{8:064}", "d", 10, "another", lambda: None, quota_bytes=35)[1]


def test_the_store_tells_of_writing_where_the_database_does(store: Store, url: str) -> None:
    before = store.version()
    store.audit.note("nobody", "::1", "POST /", "/", 200)
    told = store.version() != before
    assert told == url.startswith("sqlite")
