"""System calls that the work on a model never needs, refused by the kernel (seccomp, Linux on x86-64 and 64-bit Arm).

Refused are those that make processes, open sockets, reach into other processes, change namespaces, mounts, clocks or the
kernel, and those that hold memory where no limit counts it. What is left is one process with threads.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator

from workers.confinement.kernel import ARCHITECTURE, ARCHITECTURES, PR_SET_SECCOMP, prctl

# numbers on x86-64 and 64-bit Arm; None where there is no such call
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "unshare": (272, 97),
    "setns": (308, 268),
    # other processes
    "tkill": (200, 130),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    # network
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # memory that no limit counts, and queues
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # mounts and devices
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # owners, modes and times, which Landlock leaves to whoever knows a path
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "truncate": (76, 45),
    # the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
# what is sent to this process itself is its own affair: abort() and limits of its own
OWN = {"kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)}
PRLIMIT, CLONE, CLONE3, IOCTL = (302, 261), (56, 220), (435, 435), (16, 29)
CLONE_THREAD = 0x10000
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # typing into a terminal
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000  # calls of another binary interface, with numbers of their own

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
KILL, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
FILTER = 2  # SECCOMP_MODE_FILTER
Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Filter(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


def refuse_calls() -> None:
    """Refuse REFUSED, and what else is no business of the work, from here on. Raises OSError."""
    install_filter([*prologue(), *refusals(REFUSED), *_conditions(os.getpid()), (RETURN, 0, 0, ALLOW)])


def install_filter(program: list[Instruction]) -> None:
    """Filter the calls of this process and of all that it becomes or starts. Raises OSError."""
    array = (Filter * len(program))(*(Filter(*instruction) for instruction in program))
    prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(Program(len(program), ctypes.addressof(array))))


def available() -> bool:
    """Whether the numbers of the system calls are known here, and the kernel takes filters."""
    return ARCHITECTURE is not None and os.path.exists("/proc/sys/kernel/seccomp")


def prologue() -> Iterator[Instruction]:
    """Only calls of this architecture, by their number."""
    assert ARCHITECTURE is not None
    yield from [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, AUDIT_ARCH[ARCHITECTURE]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER_AT)]
    if ARCHITECTURE == "x86_64":
        yield from [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]


def refusals(names: Iterable[str]) -> Iterator[Instruction]:
    """EPERM for these calls of REFUSED."""
    for name in names:
        if (number := REFUSED[name][_column()]) is not None:
            yield from [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | errno.EPERM)]


def _conditions(pid: int) -> Iterator[Instruction]:
    """What depends on an argument, in a process of that number."""
    column = _column()
    # clone3 hides its flags in memory; without it the C library uses clone
    yield from [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    yield from _unless(CLONE[column], 0, [(ANY_BIT, 1, 0, CLONE_THREAD)])
    for numbers in OWN.values():
        yield from _unless(numbers[column], 0, [(EQUAL, 1, 0, pid)])
    yield from _unless(PRLIMIT[column], 0, [(EQUAL, 2, 0, 0), (EQUAL, 1, 0, pid)])
    yield from _unless(IOCTL[column], 1, [(EQUAL, 1, 0, TIOCSTI), (EQUAL, 0, 1, TIOCLINUX)])


def _column() -> int:
    assert ARCHITECTURE is not None
    return ARCHITECTURES.index(ARCHITECTURE)


def _unless(number: int, argument: int, tests: list[Instruction]) -> Iterator[Instruction]:
    """Refuse a call unless one of the tests of its argument jumps over the refusal."""
    body = [(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument), *tests, (RETURN, 0, 0, ERRNO | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    yield (EQUAL, 0, len(body), number)
    yield from body
