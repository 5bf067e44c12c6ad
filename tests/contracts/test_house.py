"""The shape of the code: rooms that one can look around in, and functions that fit the eye."""

import ast
import inspect
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

from tests.contracts.test_documentation import ROOT
from tests.contracts.test_names import COMMANDS, SOURCES
from workers.methods import METHODS

MOST_FILES, MOST_LINES, MOST_PARAMETERS = 15, 45, 8
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[Path, Function]]:
    for path in SOURCES:
        yield from ((path, node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function))


def lines(node: Function) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def parameters(node: Function) -> int:
    """Without `self`; a command is exempt elsewhere, for its options are its parameters."""
    given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in given if name not in ("self", "cls")])


def test_no_folder_is_crowded() -> None:
    methods = {Path(inspect.getfile(method)) for method in METHODS}  # the catalogue may grow
    files = Counter(path.parent.relative_to(ROOT).as_posix() for path in SOURCES if path not in methods)
    assert {folder: count for folder, count in files.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_first_line_tells_what_a_file_is(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[:1]
    assert [len(line.split()) > 2 for line in first] == [True]


def test_functions_are_short() -> None:
    sizes = [lines(node) for _, node in functions()]
    assert median(sizes) <= 7
    assert quantiles(sizes, n=20)[-1] <= 22
    assert {f"{path.relative_to(ROOT)}:{node.name}" for path, node in functions() if lines(node) > MOST_LINES} == set()


def test_functions_take_few_parameters() -> None:
    wide = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path, node in functions()
        if parameters(node) > MOST_PARAMETERS and path.parent != COMMANDS
    }
    assert wide == set()


def test_the_contract_on_sql_covers_every_module() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (sources,) = (contract["source_modules"] for contract in contracts if contract["name"] == "SQL lives in the store")
    covered = (*sources, "workers.jobs.store", "workers.jobs.database", "fractune")
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES if path.name != "__init__.py"]
    assert [name for name in modules if not any(f"{name}.".startswith(f"{source}.") for source in covered)] == []


def test_the_contract_on_methods_names_every_method() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (named,) = (contract["modules"] for contract in contracts if contract["name"] == "methods do not know each other")
    shared = {"__init__", "problem", "ignored_scope"}
    assert set(named) == {
        f"workers.methods.{path.stem}" for path in (ROOT / "workers/methods").glob("*.py") if path.stem not in shared
    }


def test_no_two_test_files_have_one_name() -> None:
    """Pytest would collect neither: their folders are no packages."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
