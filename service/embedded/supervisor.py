"""Keeps a few server processes alive, and takes them along when it ends."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from service.embedded import die_with_parent
from workers.errors import Unavailable

GRACE_S = 3.0  # between asking a process to end and killing it
SHORTEST_LIFE_S = 5.0  # a process that ends sooner has failed to start
MOST_FAILURES = 4  # in a row
LONGEST_PAUSE_S = 3.0  # before a restart
PROBE_EVERY_S = 2.0
PATIENCE_S = 60.0  # after which a process that does not answer is replaced; a loaded machine takes its time
LOG_BYTES = 16 << 20  # a longer log becomes NAME.old


@dataclass(frozen=True, slots=True)
class Server:
    """A program that should always run."""

    name: str
    command: Sequence[str]
    log: Path  # its output
    stop_signal: signal.Signals = signal.SIGTERM
    environment: Mapping[str, str] = field(default_factory=dict)  # besides ours
    pass_fds: tuple[int, ...] = ()
    answers: Callable[[], bool] | None = None  # asks it for a sign of life, within a few seconds
    patience_s: float = PATIENCE_S


class Supervisor:
    """Runs servers in the order given, restarts those that end, ends all in reverse order."""

    def __init__(self, servers: Sequence[Server], say: Callable[[str], None]) -> None:
        self._keepers = [Keeper(server, say) for server in servers]

    def start(self) -> None:
        """Start every server."""
        for keeper in self._keepers:
            keeper.start()

    def tend(self) -> None:
        """Restart what has ended or does not answer; set long logs aside."""
        for keeper in self._keepers:
            keeper.tend()
            keeper.rotate()

    def check(self) -> None:
        """Raises Unavailable when a server ends again and again as soon as it is started."""
        for keeper in self._keepers:
            keeper.check()

    def stop(self) -> None:
        """End everything within GRACE_S."""
        deadline = time.monotonic() + GRACE_S
        for keeper in reversed(self._keepers):
            keeper.ask_to_end()
        for keeper in reversed(self._keepers):
            keeper.end(deadline)


class Keeper:
    """One server and its current process."""

    def __init__(self, server: Server, say: Callable[[str], None]) -> None:
        self._server, self._say = server, say
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._resume_at = 0.0
        self._heard = 0.0
        self._over = threading.Event()
        if server.answers is not None:
            threading.Thread(target=self._listen, args=(server.answers,), daemon=True).start()

    def start(self) -> None:
        """Start the process, in a process group of its own so that a Ctrl-C reaches only us."""
        server = self._server
        self.rotate()
        command = [
            sys.executable,
            "-I",
            "-S",
            die_with_parent.__file__,
            str(os.getpid()),
            str(int(server.stop_signal)),
            *server.command,
        ]
        with _open_log(server.log) as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **server.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=server.pass_fds,
            )
        self._started = self._heard = time.monotonic()

    def _listen(self, answers: Callable[[], bool]) -> None:
        """Ask again and again; one that hangs holds up nobody but this thread."""
        while not self._over.wait(PROBE_EVERY_S):
            if self._process is not None and answers():
                self._heard = time.monotonic()

    def tend(self) -> None:
        """Restart the process when it has ended, later and later when it does so again and again, or does not answer."""
        now = time.monotonic()
        if self._server.answers and self._process is not None and now - self._heard > self._server.patience_s:
            self._say(f"{self._server.name} has not answered for {self._server.patience_s:g} s and is replaced")
            self._signal(signal.SIGKILL)
            self._process.wait()
        if self._process is None:
            if now >= self._resume_at:
                self.start()
        elif (status := self._process.poll()) is not None:
            self._signal(signal.SIGKILL)  # what it left behind
            self._process = None
            self._failures = self._failures + 1 if now - self._started < SHORTEST_LIFE_S else 0
            self._resume_at = now + min(0.1 * 2**self._failures, LONGEST_PAUSE_S)
            self._say(f"{self._server.name} ended with status {status} and is started again")

    def rotate(self) -> None:
        """Set the log aside when it has grown long, while the process goes on writing: it appends."""
        log = self._server.log
        if log.exists() and log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".old"))
            os.truncate(log, 0)

    def check(self) -> None:
        """Raises Unavailable after MOST_FAILURES vain starts in a row."""
        if self._failures >= MOST_FAILURES:
            last = self._server.log.read_text(errors="replace").strip().rpartition("\n")[2]
            reason = last or "it does not say why"
            raise Unavailable(f"The {self._server.name} does not start: {reason}", hint=f"See {self._server.log}.")

    def ask_to_end(self) -> None:
        """Send the stop signal."""
        self._signal(self._server.stop_signal)

    def end(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic seconds), then kill the group."""
        self._over.set()
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                pass


def _open_log(path: Path) -> IO[bytes]:
    """To append to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")
