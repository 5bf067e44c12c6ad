"""A boundary in the file system: nothing but the paths that were granted can be opened (Landlock, Linux 5.13 and newer)."""

import ctypes
import os
from collections.abc import Iterable, Mapping

from workers.confinement.kernel import LIBC, call

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on every architecture
VERSION_FLAG = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
LIST = READ_DIR
WRITE = READ_FILE | READ_DIR | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
# no sockets, pipes and devices are made anywhere, and nothing is run from a folder that can be written to
KNOWN_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many, by version
TCP = 0b11  # bind and connect, from version 4
SCOPES = 0b11  # abstract sockets and signals beyond this boundary, from version 6


class Attributes(ctypes.Structure):
    """struct landlock_ruleset_attr; what an older kernel does not know is left off its end."""

    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """The version of Landlock that the kernel has; 0 without."""
    if LIBC is None:
        return 0
    known: int = LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG)
    return max(0, known)


def restrict(grants: Mapping[str, int]) -> None:
    """Leave this process, and all that it starts, these rights beneath these paths; a path that is not there is left out.

    Needs no privilege but PR_SET_NO_NEW_PRIVS. Raises OSError.
    """
    known = version()
    handled = (1 << KNOWN_FILE_RIGHTS.get(known, 16)) - 1
    attributes = Attributes(handled, TCP if known >= 4 else 0, SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = call("syscall", CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    try:
        for path, rights in grants.items():
            _grant(ruleset, path, rights & handled)
        call("syscall", RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = PathBeneath(rights if os.path.isdir(path) else rights & OF_FILES, descriptor)
        call("syscall", ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def readable(paths: Iterable[str]) -> dict[str, int]:
    """Grants to read and run."""
    return dict.fromkeys(paths, READ)
