"""What a figure was measured on: processor, limits, load and versions, so that it can be compared with another one."""

import os
import platform
import re
from importlib import metadata
from math import ceil, inf
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

# The instruction sets that decide which kernels OpenVINO picks (x86 flags, then Arm features).
INSTRUCTION_SETS = (
    *("sse4_2", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_int8", "amx_bf16", "amx_fp16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
# What a class of machines is called by: the best of these that it has.
CLASSES = (
    *("amx_int8", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "sse4_2"),
    *("sve2", "sve", "i8mm", "asimddp", "asimd"),
)
PACKAGES = ("fractune", "openvino", "nncf", "numpy", "pillow")
UNLIMITED = 2**60  # cgroup v1 writes "no limit" as a huge number


class Machine(BaseModel):
    """A fingerprint; what the platform does not tell is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str = Field(description="Model name.")
    architecture: str
    cores: int = Field(description="Logical processors of the machine.")
    usable_cores: int = Field(description="Of those, how many this process may run on.")
    instruction_sets: tuple[str, ...]
    microcode: str | None
    governor: str | None = Field(description="cpufreq scaling governor; None in most virtual machines.")
    turbo: bool | None
    virtual: bool | None = Field(description="Whether a hypervisor is underneath.")
    cpu_quota: float | None = Field(description="Processors' worth of time the container may use.")
    memory_bytes: int
    memory_limit_bytes: int | None = Field(description="Limit of the container.")
    load_average: float | None = Field(description="Runnable processes over the last minute, when the fingerprint was taken.")
    system: str
    versions: dict[str, str]

    @property
    def busy(self) -> bool:
        """Whether others want more processors than are idle, so that wall-clock times are inflated."""
        return self.load_average is not None and self.load_average > self.usable_cores


def fingerprint(root: Path = Path("/")) -> Machine:
    """Describe this machine, as the files under `root`/proc and `root`/sys tell."""
    processor = _processor(root)
    features = set(processor.get("flags", processor.get("Features", "")).split())
    return Machine(
        cpu=processor.get("model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in features),
        microcode=processor.get("microcode"),
        governor=_read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        turbo=_turbo(root),
        virtual="hypervisor" in features if features else None,
        cpu_quota=_cpu_quota(root),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        memory_limit_bytes=_memory_limit(root),
        load_average=_load(),
        system=f"{platform.system()} {platform.release()}",
        versions=versions(),
    )


def threads(root: Path = Path("/"), jobs: int = 1) -> int:
    """How many threads each of `jobs` at once should take.

    That is its share of the processors that this process may run on and of the time that its container may use, and no more
    than OMP_NUM_THREADS.
    """
    whole = ceil(min(_usable_cores(), _cpu_quota(root) or inf))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(whole // jobs, int(asked) if asked.isdigit() and int(asked) else whole))


def labels(machine: Machine) -> dict[str, str]:
    """The classes that a machine belongs to by itself: `cpu`, its processor, and `isa`, its best instruction set."""
    cpu = "-".join(re.findall(r"[a-z0-9.]+", re.sub(r"\((r|tm)\)|cpu|processor|@.*", " ", machine.cpu.lower()))).strip("-.")
    found = [name for name in CLASSES if name in machine.instruction_sets]
    return {"cpu": cpu[:63].rstrip("-.") or "unknown", "isa": found[0] if found else machine.architecture}


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a result; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _processor(root: Path) -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    block = (_read(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _turbo(root: Path) -> bool | None:
    cpu = root / "sys/devices/system/cpu"
    forbidden, boost = _read(cpu / "intel_pstate/no_turbo"), _read(cpu / "cpufreq/boost")
    return forbidden == "0" if forbidden else boost == "1" if boost else None


def _cpu_quota(root: Path) -> float | None:
    cgroup = root / "sys/fs/cgroup"
    quota, _, period = (_read(cgroup / "cpu.max") or "").partition(" ")
    if not period:  # cgroup v1
        quota, period = _read(cgroup / "cpu/cpu.cfs_quota_us") or "", _read(cgroup / "cpu/cpu.cfs_period_us") or ""
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _memory_limit(root: Path) -> int | None:
    cgroup = root / "sys/fs/cgroup"
    limit = _read(cgroup / "memory.max") or _read(cgroup / "memory/memory.limit_in_bytes") or ""
    return int(limit) if limit.isdigit() and int(limit) < UNLIMITED else None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
