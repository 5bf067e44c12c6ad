"""The evil child reaches nothing outside its folder: as whoever runs the tests, as an ordinary user, and without namespaces."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.confinement import landlock, seccomp

ROOT = Path(__file__).parents[4]
NOBODY = 65534
pytestmark = [
    pytest.mark.skipif(landlock.version() < 3, reason="needs Landlock of Linux 6.2"),
    pytest.mark.skipif(not seccomp.available(), reason="needs seccomp on x86-64 or 64-bit Arm"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may be given; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="fr-") as name:
        yield Path(name)


def environment(folder: Path) -> dict[str, str]:
    packages = [entry for entry in sys.path if entry.endswith("-packages")]
    return {**os.environ, "HOME": str(folder), "PYTHONPATH": os.pathsep.join(packages)}


def of_an_ordinary_user(folder: Path) -> str:
    """An interpreter that an ordinary user may run; ours may lie in root's home."""
    trial: dict[str, Any] = {"cwd": ROOT, "env": environment(folder), "user": NOBODY, "group": NOBODY, "capture_output": True}
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([python, "-c", "import workers.worker.sandbox"], check=False, **trial).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("an ordinary user cannot read the interpreter or the working copy")


def release(folder: Path, *options: str, user: int | None = None, python: str = sys.executable) -> dict[str, Any]:
    command = [python, "-m", "tests.containment", str(folder), *options]
    who: dict[str, Any] = {"user": user, "group": user, "env": environment(folder)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **who)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    assert found["failure"] is None
    assert found["attempts"] > 60
    assert found["reached"] == []
    assert found["left"] == []


def test_nothing_is_reached(folder: Path) -> None:
    check(release(folder))


def test_nothing_is_reached_where_namespaces_are_not_to_be_had(folder: Path) -> None:
    found = release(folder, "--contained")
    check(found)
    assert found["missing"] == ["processes"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; others are ordinary users themselves")
@pytest.mark.parametrize("options", [(), ("--contained",)], ids=["with namespaces", "without"])
def test_nothing_is_reached_as_an_ordinary_user(folder: Path, options: tuple[str, ...]) -> None:
    python = of_an_ordinary_user(folder)
    os.chown(folder, NOBODY, NOBODY)
    check(release(folder, *options, user=NOBODY, python=python))
