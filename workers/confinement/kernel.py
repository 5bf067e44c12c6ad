"""System calls that Python has no function for, and their numbers."""

import ctypes
import os
import platform
import sys

LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True) if LINUX else None
ARCHITECTURES = ("x86_64", "aarch64")
ARCHITECTURE = platform.machine() if platform.machine() in ARCHITECTURES else None

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63  # the kernel refuses those it does not know
CAPABILITY_VERSION = 0x20080522


def call(name: str, *arguments: object) -> int:
    """A function of the C library that answers -1 when it fails. Raises OSError."""
    result: int = getattr(LIBC, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, *values: object) -> int:
    """Set an attribute of this process. Raises OSError."""
    padded = [*values, 0, 0, 0, 0][:4]
    return call("prctl", option, *(ctypes.c_ulong(value) if isinstance(value, int) else value for value in padded))


def renounce_privileges() -> None:
    """No program that we become gains privileges, and root's are gone for good. Raises OSError."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(LAST_CAPABILITY):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # there is no such one, or we may not, having none
            continue
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())
