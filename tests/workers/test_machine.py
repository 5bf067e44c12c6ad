"""The fingerprint, read off this machine and off machines written into a folder."""

from pathlib import Path

import numpy as np
import pytest

from workers.machine import fingerprint, threads


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/cpuinfo", "model name\t: Test 9000\nflags\t\t: fpu avx2 avx512_vnni\n\nmodel name\t: Other\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_this_machine_has_a_fingerprint() -> None:
    machine = fingerprint()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.cores
    assert machine.memory_bytes > 2**28
    assert machine.versions["numpy"] == np.__version__


def test_processor_and_instruction_sets_are_read(root: Path) -> None:
    machine = fingerprint(root)
    assert machine.cpu == "Test 9000"
    assert machine.instruction_sets == ("avx2", "avx512_vnni")
    assert machine.virtual is False


def test_what_the_platform_does_not_tell_is_none(tmp_path: Path) -> None:
    machine = fingerprint(tmp_path)
    told = (machine.microcode, machine.governor, machine.turbo, machine.virtual, machine.cpu_quota, machine.memory_limit_bytes)
    assert told == (None,) * 6
    assert machine.cpu


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_cpu_quota_of_either_cgroup_version(root: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        write(root, f"sys/fs/cgroup/{name}", text)
    assert fingerprint(root).cpu_quota == quota


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.max", "1073741824\n", 2**30),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "9223372036854771712", None),
    ],
)
def test_memory_limit_of_either_cgroup_version(root: Path, file: str, text: str, limit: int | None) -> None:
    write(root, f"sys/fs/cgroup/{file}", text)
    assert fingerprint(root).memory_limit_bytes == limit


@pytest.mark.parametrize(("file", "text", "turbo"), [("intel_pstate/no_turbo", "1", False), ("cpufreq/boost", "1", True)])
def test_turbo_is_read_from_intel_and_from_others(root: Path, file: str, text: str, turbo: bool) -> None:
    write(root, f"sys/devices/system/cpu/{file}", text)
    assert fingerprint(root).turbo is turbo


def test_a_machine_with_more_work_than_processors_is_busy() -> None:
    machine = fingerprint()
    assert machine.model_copy(update={"load_average": machine.usable_cores + 0.5}).busy
    assert not machine.model_copy(update={"load_average": 0.1}).busy


def test_threads_keep_within_processors_quota_and_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usable = fingerprint(root).usable_cores
    assert threads(root) == usable
    assert threads(root, jobs=usable) == threads(root, jobs=10 * usable) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads(root) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", str(10 * usable))
    assert threads(root) == usable
    write(root, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert threads(root) == 1
