"""Real parts for every test that wants them."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
import structlog

from tests import servers

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("patient")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in its background ignore Ctrl-C


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    """Our log goes where pytest captures it."""
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Gives the URL of a new, empty PostgreSQL database at each call."""
    binaries = servers.postgres_binaries()
    if binaries is None:
        message = (
            "PostgreSQL IS NOT TESTED: found no initdb on PATH or under /usr/lib/postgresql; install it to test both databases"
        )
        print(f"\n{message}", file=sys.__stderr__)
        pytest.skip(message)
    with servers.postgres(binaries) as url:

        def create() -> str:
            name = f"test_{uuid4().hex}"
            with psycopg.connect(url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            return url(name)

        yield create


@pytest.fixture
def broker() -> Iterator[Path]:
    """The socket of an empty Redis-protocol server."""
    with servers.folder() as home, servers.valkey(home / "broker.sock"):
        yield home / "broker.sock"
