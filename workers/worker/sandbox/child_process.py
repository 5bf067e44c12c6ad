"""A process group with two pipes: started confined, ended for good."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of getrusage
TICK_S = 0.05


class ChildProcess:
    """A running command and all that it starts."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.started = time.monotonic()
        self.wall_s = self.cpu_s = 0.0
        self.peak_rss_bytes = 0
        self._gone = False
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout, self.stderr = self._process.stdout, self._process.stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(0)
        self.stdout.close()
        self.stderr.close()

    @property
    def exit_code(self) -> int:
        """0 and above: the status; below: the signal. Only once it has ended."""
        assert self._process.returncode is not None
        return self._process.returncode

    @property
    def group(self) -> int:
        """The number of the process group."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether the command has ended; what it started may still run."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.wall_s = time.monotonic() - self.started
                self.cpu_s = usage.ru_utime + usage.ru_stime
                self.peak_rss_bytes = usage.ru_maxrss * RSS_UNIT
        return self._process.returncode is not None

    def end(self, grace_s: float) -> None:
        """Ask the group to end and kill what is left of it after `grace_s`."""
        if self._gone:
            return
        if not self.ended():
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            while not self.ended() and time.monotonic() < deadline:
                time.sleep(TICK_S)
        self._signal(signal.SIGKILL)
        while not self.ended():
            time.sleep(TICK_S)
        self._gone = True  # its number may be another's from now on

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # the group is empty, or (macOS) holds only a zombie
            pass
