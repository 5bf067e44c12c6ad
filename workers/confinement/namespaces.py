"""A world of its own for the work: its processes, network and shared memory are not the machine's (Linux namespaces)."""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from workers.confinement.kernel import PR_SET_PDEATHSIG, call, prctl

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
ALL = NEWNS | NEWIPC | NEWPID | NEWNET
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000


def enter_namespaces() -> int:
    """Leave as many of the machine's namespaces as we may; which, as flags of unshare(2)."""
    user, group = os.getuid(), os.getgid()
    for flags in (ALL, NEWUSER | ALL, NEWNET, NEWUSER | NEWNET):
        if _rehearse(flags, user, group):
            _leave(flags, user, group)
            return flags
    return 0


def become_first(work: Callable[[], NoReturn]) -> NoReturn:
    """Do `work` in a process below the first of a new namespace of processes, and end as it ends.

    The first one only waits: when it ends, by whatever cause, the kernel kills all that is left in the namespace. It ends with
    us, and we end with our parent.
    """
    heard, told = os.pipe()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is for the work, which has the time of grace to end
    first = os.fork()
    if first == 0:
        os.close(heard)
        _wait_as_first(told, work)
    os.close(told)
    _let_go_of_pipes()
    os.waitpid(first, 0)
    _end_like(int(os.read(heard, 20) or signal.SIGKILL))


def _wait_as_first(told: int, work: Callable[[], NoReturn]) -> NoReturn:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _mount_own_processes()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work()
    _let_go_of_pipes()
    ended = 0
    while ended != pid:
        ended, status = os.wait()
    os.write(told, str(status).encode())
    os._exit(0)


def _mount_own_processes() -> None:
    """Show the processes of the namespace in /proc; where that is not allowed, those outside stay visible, no more."""
    try:
        call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
        call("mount", b"proc", b"/proc", b"proc", ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC), None)
    except OSError:
        pass


def _let_go_of_pipes() -> None:
    """Whoever listens to the work's output hears of its end when the work ends, not when we do."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _end_like(status: int) -> NoReturn:
    """End with the status, or by the signal, of a process that was waited for."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _rehearse(flags: int, user: int, group: int) -> bool:
    """Whether `_leave` would work: a process that has left half-way cannot come back."""
    pid = os.fork()
    if pid == 0:
        try:
            _leave(flags, user, group)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _leave(flags: int, user: int, group: int) -> None:
    call("unshare", flags)
    if not flags & NEWUSER:
        return
    for name, value in ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(value)
