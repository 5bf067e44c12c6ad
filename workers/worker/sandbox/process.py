"""The parent's side: start the child, listen, stop it when asked or late, and say what became of it."""

import json
import os
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from workers import machine
from workers.confinement.launch import ROOT, Plan, command_line
from workers.errors import Canceled, Crashed, JobFailure, TimedOut
from workers.folders import remove
from workers.jobs.job import Failure, JobTask
from workers.settings import Limits
from workers.worker.sandbox.ceiling import Ceiling
from workers.worker.sandbox.child_process import ChildProcess
from workers.worker.sandbox.exit_classification import EventLog, ExitStatus, classify_failure, killed_by_others
from workers.worker.sandbox.grants import grants, shared_folders
from workers.worker.sandbox.memory import allowance, oom_kills
from workers.worker.sandbox.streams import Event, Events, Log

CHILD = (sys.executable, "-m", "workers.run.child")
TICK_S = 0.1
ASK_S = 0.4  # between two questions to should_stop
DRAIN_S = 1.0  # for the last output of a child that has ended
# Nothing else of our environment reaches the child: it may hold passwords.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")
OF_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")  # one: `workers.threads` shares products


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task."""

    ok: bool
    failure: Failure | None  # None when ok
    exit_code: int  # negative: the signal that ended it
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    missing: tuple[str, ...]  # layers of confinement that the platform does not give: see confinement.launch.LAYERS
    killed: bool = False  # by somebody else, so that another attempt may do better


def run_sandboxed(
    task: JobTask,
    workdir: Path,
    limits: Limits,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    *,
    command: Sequence[str] = CHILD,
) -> Outcome:
    """Do `task` in a child process and wait for it.

    Writes workdir/task.json and runs `command workdir`, its standard error in workdir/log.txt. `on_event` gets the progress
    and layer events, in order, in the caller's thread. `should_stop` is asked twice a second; when it says yes, the child's
    process group is ended and the failure is CANCELED. Whatever the child does becomes an Outcome. What `on_event` and
    `should_stop` raise passes through once the child is gone.
    """
    workdir = workdir.resolve()
    temporary = workdir / "tmp"
    temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
    (workdir / "task.json").write_text(json.dumps(asdict(task)))
    memory, kills = limits.memory or allowance(), oom_kills()
    account = EventLog()
    argv = _argv(task, workdir, [*command, str(workdir)], limits, memory)
    try:
        with closing(Log(workdir / "log.txt")) as log, ChildProcess(argv, workdir, _environment(task, temporary)) as child:
            with closing(ChildReader(child, log, account, on_event)) as listener:
                ceiling = Ceiling(child.group, [workdir, *map(Path, shared_folders(task))], memory, limits)
                stopped = _follow(child, listener, ceiling, limits, should_stop)
            ending = ExitStatus(child.exit_code, log.tail(), memory, stopped, oom_kills() > kills)
    finally:
        remove(temporary)
    failure = classify_failure(account, ending)
    used = (child.wall_s, child.cpu_s, child.peak_rss_bytes)
    return Outcome(failure is None, failure, child.exit_code, *used, account.missing, killed_by_others(ending))


class ChildReader:
    """Passes on what a child says while it can be heard."""

    def __init__(self, child: ChildProcess, log: Log, account: EventLog, on_event: Callable[[Event], None]) -> None:
        self.events = Events(log.note)
        self._log, self._account, self._on_event = log, account, on_event
        self._selector = selectors.DefaultSelector()
        self._selector.register(child.stdout, selectors.EVENT_READ, self._hear)
        self._selector.register(child.stderr, selectors.EVENT_READ, log.feed)

    def listen(self, seconds: float) -> None:
        """Pass on what comes within so many seconds; wait for it when nothing is there yet."""
        if not self._selector.get_map():  # it has closed its output, but lives
            time.sleep(seconds)
        for key, _ in self._selector.select(seconds):
            data = os.read(key.fd, 1 << 16)
            if data:
                key.data(data)
            else:
                self._selector.unregister(key.fileobj)

    def drain(self, seconds: float) -> None:
        """Pass on what is left in the pipes; something that fled from the group may hold them open."""
        deadline = time.monotonic() + seconds
        while self._selector.get_map() and time.monotonic() < deadline:
            self.listen(TICK_S)

    def close(self) -> None:
        """Stop listening."""
        self._selector.close()

    def _hear(self, data: bytes) -> None:
        for event in self.events.feed(data):
            try:
                passed_on = self._account.note(event)
            except ValueError:
                self._log.note(f"not an event: {str(event)[:200]}")
                continue
            if passed_on is not None:
                self._on_event(passed_on)


def _follow(
    child: ChildProcess, listener: ChildReader, ceiling: Ceiling, limits: Limits, should_stop: Callable[[], bool]
) -> JobFailure | None:
    """Listen until the child has ended; the reason when we had to end it."""
    asked = 0.0
    reason: JobFailure | None = None
    while reason is None and not child.ended():
        listener.listen(TICK_S)
        now = time.monotonic()
        if now - child.started > limits.wall_clock_s:
            reason = TimedOut(f"The job ran longer than its limit of {limits.wall_clock_s:g} s.")
        elif listener.events.flooded:
            reason = Crashed("The process that worked on the model wrote more output than any job has.")
        elif now - asked > ASK_S:
            asked = now
            reason = Canceled() if should_stop() else ceiling.exceeded()
    child.end(limits.grace_s)
    if reason is None:
        listener.drain(DRAIN_S)
    return reason


def _argv(task: JobTask, workdir: Path, command: Sequence[str], limits: Limits, memory: int) -> list[str]:
    resources = {
        "AS": memory,
        "CPU": ceil(limits.wall_clock_s * (os.cpu_count() or 1)),
        "FSIZE": int(limits.file_size),
        "NOFILE": limits.open_files,
        "CORE": 0,
    }
    return command_line(Plan(resources, grants(task, workdir, command), limits.processes), command)


def _environment(task: JobTask, temporary: Path) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    threads = {"OMP_NUM_THREADS": str(task.threads or machine.threads()), **dict.fromkeys(OF_BLAS, "1")}
    return {
        **passed_on,
        **threads,
        "TMPDIR": str(temporary),
        "HOME": str(temporary),
        "USER": "fractune",  # so that nobody looks it up
        "CI": "true",  # OpenVINO and NNCF then send no telemetry
        "OMP_WAIT_POLICY": "PASSIVE",  # else threads that wait for one another spin, which a busy machine turns into minutes
        "MALLOC_ARENA_MAX": "2",  # else every thread reserves 64 MiB of address space
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",  # no module is imported from the folder it works in
        "PYTHONHASHSEED": "0",
        "PYTHONFAULTHANDLER": "1",  # a crash leaves a stack in the log
    }
