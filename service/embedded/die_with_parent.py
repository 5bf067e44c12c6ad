"""Becomes a command that ends when its parent does: `python -I -S leash.py PARENT SIGNAL COMMAND...`.

The kernel sends SIGNAL when the process PARENT ends, however it ends (Linux; elsewhere the command is only started). Standard
library only.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal: int, command: list[str]) -> None:
    """Never returns: the command takes this process over. Raises OSError when it cannot be started."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
