"""The supervisor with real processes."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from service.embedded.supervisor import Server, Supervisor
from tests.waiting import until
from workers.errors import Unavailable

# a server that writes down its process id and, like a worker, starts a process of its own
PROGRAM = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
with open(sys.argv[1], "a") as file:
    print(os.getpid(), child.pid, file=file)
time.sleep(3600)
"""


def server(folder: Path, program: str = PROGRAM, name: str = "server") -> Server:
    return Server(name, (sys.executable, "-c", program, str(folder / "pids")), folder / "logs" / "server.log")


def pids(folder: Path) -> list[tuple[int, int]]:
    path = folder / "pids"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def supervise() -> Iterator[Callable[[Server], Supervisor]]:
    running: list[Supervisor] = []

    def start(one: Server) -> Supervisor:
        running.append(Supervisor([one], lambda _: None))
        running[-1].start()
        return running[-1]

    yield start
    for supervisor in running:
        supervisor.stop()


def test_a_killed_server_is_started_again_and_leaves_nothing(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    supervisor = supervise(server(tmp_path))
    until(lambda: pids(tmp_path))
    first, child = pids(tmp_path)[0]
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.tend() or len(pids(tmp_path)) == 2)
    assert alive(pids(tmp_path)[1][0])
    until(lambda: not alive(child))


def test_stop_ends_the_whole_group(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    supervisor = supervise(server(tmp_path))
    until(lambda: pids(tmp_path))
    supervisor.stop()
    until(lambda: not any(alive(pid) for pid in pids(tmp_path)[0]))


def test_stop_does_not_wait_for_ever(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    supervisor = supervise(server(tmp_path, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PROGRAM))
    until(lambda: pids(tmp_path))
    supervisor.stop()
    until(lambda: not any(alive(pid) for pid in pids(tmp_path)[0]))


def test_a_server_that_never_comes_up_is_named_with_its_last_words(
    tmp_path: Path, supervise: Callable[[Server], Supervisor]
) -> None:
    supervisor = supervise(server(tmp_path, "import sys; sys.exit('no such database')", name="worker"))

    def given_up() -> bool:
        supervisor.tend()
        try:
            supervisor.check()
        except Unavailable as error:
            return "worker" in error.message and "no such database" in error.message
        return False

    until(given_up)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_servers_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
        import sys, time
        from pathlib import Path
        from service.embedded.supervisor import Server, Supervisor
        one = Server("s", (sys.executable, "-c", {PROGRAM!r}, {str(tmp_path / "pids")!r}), Path({str(tmp_path)!r}) / "log")
        Supervisor([one], print).start()
        time.sleep(3600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as parent:
        until(lambda: pids(tmp_path))
        parent.kill()
    until(lambda: not alive(pids(tmp_path)[0][0]))
    os.kill(pids(tmp_path)[0][1], signal.SIGKILL)  # the stand-in does not look after its own child


def test_a_long_log_is_set_aside(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    one = server(tmp_path, "print('new', flush=True); import time; time.sleep(3600)")
    one.log.parent.mkdir()
    with one.log.open("wb") as log:
        log.truncate((16 << 20) + 1)
    supervise(one)
    until(lambda: one.log.read_text() == "new\n")
    assert one.log.with_name("server.log.old").stat().st_size > 16 << 20


def test_a_log_that_grows_long_while_its_process_runs(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    program = "import sys, time; sys.stdout.write('x' * ((16 << 20) + 1)); sys.stdout.flush(); time.sleep(3600)"
    one = server(tmp_path, program)
    supervisor = supervise(one)
    until(lambda: supervisor.tend() or one.log.with_name("server.log.old").exists())
    until(lambda: one.log.stat().st_size == 0)


def test_a_server_that_lives_but_does_not_answer_is_replaced(tmp_path: Path, supervise: Callable[[Server], Supervisor]) -> None:
    one = replace(server(tmp_path), answers=lambda: len(pids(tmp_path)) != 1, patience_s=3.0)
    supervisor = supervise(one)
    until(lambda: pids(tmp_path))
    first, child = pids(tmp_path)[0]
    until(lambda: supervisor.tend() or len(pids(tmp_path)) == 2)
    until(lambda: not alive(first) and not alive(child))
