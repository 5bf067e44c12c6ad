"""Confines this process, then becomes the command: `python -I -S launcher.py PARENT LIMITS COMMAND...`.

It runs between the parent and the real work, so that the parent needs no `preexec_fn`, which is unsafe beside threads.
PARENT is the process id with which the command dies; LIMITS is JSON, from the name of an RLIMIT_ to its value. Standard
library only.
"""

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def main(parent: int, limits: dict[str, int], command: list[str]) -> None:
    """Never returns: the command takes this process over. Raises OSError when it cannot be started."""
    for name, value in limits.items():
        lower(getattr(resource, f"RLIMIT_{name}"), value)
    isolated = False
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        isolated = leave_network(libc)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        die_with(parent, libc)
    os.write(1, json.dumps({"event": "sandbox", "network": not isolated}).encode() + b"\n")
    os.execvp(command[0], command)


def lower(limit: int, value: int) -> None:
    """Set both the soft and the hard limit, below a hard limit that is already lower."""
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(limit, (value, value))
    except ValueError:  # macOS refuses RLIMIT_AS
        pass


def leave_network(libc: ctypes.CDLL) -> bool:
    """Move into an empty network namespace; False where the platform does not let us."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:  # as root: files of other users stay readable
        return True
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    for name, value in ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(value)
    return True


def die_with(parent: int, libc: ctypes.CDLL) -> None:
    """The kernel kills this process when the thread that started it ends; it may have ended before we asked."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])
