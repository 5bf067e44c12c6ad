"""What an installation without extras can do: its modules import what the base brings, all of it, and nothing of a platform."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from service.cli import ENTRIES
from service.embedded import local_service
from workers.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"fractune", "service", "workers", "fractal_data"}
POSIX = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_COMMANDS = {"doctor", "serve", "verify"}  # modules of commands that run on Linux and macOS only
COMMANDS = {entry.module for entry in ENTRIES.values() if entry.needs is None}
CLIENT = ["fractune", "service.cli", *(f"service.commands.{name}" for name in sorted(COMMANDS))]

# A module that is None in sys.modules cannot be imported, as if it were not installed.
WITHOUT = "import json, sys; sys.modules.update(dict.fromkeys(json.loads(sys.argv.pop(1))))\n"
IMPORT = """
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if hasattr(module, "__file__")}))
"""
RUN = "from service.cli import main; main()"


def distribution(requirement: str) -> str:
    """The name that a requirement begins with, in the form in which names are compared."""
    return normalised(re.split(r"[\[<>=;~! ]", requirement)[0])


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


DECLARED = {distribution(requirement) for requirement in PROJECT["dependencies"]}
EXTRAS = {distribution(need) for needs in PROJECT["optional-dependencies"].values() for need in needs} - DECLARED - {"fractune"}


def roots(distributions: Iterable[str]) -> set[str]:
    """The packages that these distributions bring, as they are imported."""
    wanted = set(distributions)
    return {root for root, names in packages_distributions().items() if wanted & {normalised(name) for name in names}}


def run(program: str, absent: Iterable[str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A program where some modules cannot be imported."""
    command = [sys.executable, "-c", WITHOUT + program, json.dumps(sorted(absent)), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def imported(modules: Iterable[str], absent: Iterable[str]) -> list[Path]:
    """The files of our modules that importing `modules` loads, where some cannot be imported."""
    done = run(IMPORT, absent, *modules)
    assert done.returncode == 0, done.stderr
    return [Path(file) for name, file in json.loads(done.stdout).items() if name.partition(".")[0] in OURS and file]


def third_parties(file: Path) -> set[str]:
    """The roots of other people's packages that a module imports, but for the type checker."""
    body = ast.parse(file.read_text()).body  # without what only the type checker reads, in `if TYPE_CHECKING`
    names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - OURS - set(sys.stdlib_module_names)


def test_the_client_needs_no_extra_and_no_posix() -> None:
    portable = [name for name in CLIENT if name.rpartition(".")[2] not in POSIX_COMMANDS]
    imported(portable, roots(EXTRAS) | POSIX)


def test_the_base_declares_what_the_client_imports_and_nothing_else() -> None:
    files = imported(CLIENT, roots(EXTRAS))
    used = set().union(*map(third_parties, files))
    names = packages_distributions()
    assert {normalised(name) for root in used for name in names[root]} == DECLARED


@pytest.mark.parametrize(
    ("name", "extra"), [("optimize", "worker"), ("plan", "worker"), ("worker", "worker"), ("api", "server")]
)
def test_a_command_says_which_extra_it_lacks(name: str, extra: str) -> None:
    done = run(RUN, roots(EXTRAS), name, "model.onnx")
    assert done.returncode == 2
    assert f"pip install 'fractune[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(POSIX_COMMANDS))
def test_a_command_says_that_it_is_not_for_windows(name: str) -> None:
    done = run(RUN, POSIX, name)
    assert done.returncode == 2
    assert "runs on Linux and macOS only" in done.stderr


@pytest.mark.parametrize("value", [None, "", "/srv/fractune"])
def test_the_client_finds_the_data_folder_where_the_settings_do(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRACTUNE_DATA_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("FRACTUNE_DATA_DIR", value)
    assert local_service.data_dir() == Settings().data_dir
