"""Confines this process, then becomes the command.

    python -I -S -c "..." PARENT PLAN COMMAND...        (see `command_line`)

It runs between the parent and the real work, so that the parent needs no `preexec_fn`, which is unsafe beside threads. PARENT
is the process id with which the command dies; PLAN is JSON. What is not to be had here is left out, and said: the first line
on standard output is an event `sandbox` that names the layers that are missing.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from workers.confinement import landlock, namespaces, seccomp
from workers.confinement.kernel import LINUX, PR_SET_PDEATHSIG, prctl, renounce_privileges

ROOT = Path(__file__).parents[2]  # the folder that holds the package `workers`
BOOTSTRAP = (
    "import sys; sys.path.append(sys.argv.pop(1)); from workers.confinement.launch import main; "
    "main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])"
)
TOUCHY = 500  # of 1000: whom the kernel kills first when memory runs out
LAYERS = {
    "files": "the work can read what its user can read",
    "system calls": "the work can open sockets and start processes",
    "processes": "the work sees other processes of the machine",
    "network": "the work can reach the network",
    "privileges": "the work keeps the privileges of its user",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command may use."""

    limits: Mapping[str, int]  # from the name of an RLIMIT_ to its value
    grants: Mapping[str, int]  # from a path to rights beneath it, as `landlock` has them
    processes: int  # how many processes and threads its user may have, beside those that there are


def command_line(plan: Plan, command: Sequence[str]) -> list[str]:
    """The arguments that start `command`, confined."""
    launch = [sys.executable, "-I", "-S", "-c", BOOTSTRAP, str(ROOT)]
    return [*launch, str(os.getpid()), json.dumps(asdict(plan)), *command]


def main(parent: int, plan: str, command: list[str]) -> NoReturn:
    """The command takes this process over. Raises OSError when it cannot be started."""
    wanted = Plan(**json.loads(plan))
    left = namespaces.enter_namespaces() if LINUX else 0
    if LINUX:
        die_with(parent)

    def work() -> NoReturn:
        confine(wanted, left)
        os.execvp(command[0], command)

    if left & namespaces.NEWPID:
        namespaces.become_first(work)
    work()


def confine(plan: Plan, left: int) -> None:
    """Take every layer that is to be had, and say which are not."""
    missing = {"processes"} if not left & namespaces.NEWPID else set()
    missing |= {"network"} if not left & namespaces.NEWNET else set()
    for name, value in plan.limits.items():
        lower(getattr(resource, f"RLIMIT_{name}"), value)
    steps = {
        "privileges": (LINUX, renounce_privileges),
        "files": (landlock.version() > 0, lambda: landlock.restrict(plan.grants)),
        "system calls": (LINUX and seccomp.available(), seccomp.refuse_calls),
    }
    if LINUX:
        lower(resource.RLIMIT_NPROC, running() + plan.processes)
        be_killed_first()
    for name, (possible, step) in steps.items():
        try:
            if possible:
                step()
        except OSError:
            possible = False
        missing |= {name} if not possible else set()
    if "system calls" not in missing:  # no socket can be made
        missing.discard("network")
    told = {"event": "sandbox", "missing": [name for name in LAYERS if name in missing]}
    os.write(1, json.dumps(told).encode() + b"\n")


def lower(limit: int, value: int) -> None:
    """Set both the soft and the hard limit, below a hard limit that is already lower."""
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(limit, (value, value))
    except ValueError:  # macOS refuses RLIMIT_AS
        pass


def running() -> int:
    """Processes and threads of our user; the limit on their number counts those outside, too."""
    user, count = os.getuid(), 0
    for process in os.scandir("/proc"):
        try:
            if process.name.isdecimal() and process.stat().st_uid == user:
                count += len(os.listdir(f"/proc/{process.name}/task"))
        except OSError:  # it has ended
            continue
    return count


def be_killed_first() -> None:
    """When the machine runs out of memory, the work goes before anything else does."""
    try:
        Path("/proc/self/oom_score_adj").write_text(str(TOUCHY))
    except OSError:
        pass


def die_with(parent: int) -> None:
    """The kernel kills this process when the thread that started it ends; it may have ended before we asked."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
