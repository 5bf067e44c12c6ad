"""One word for one thing: what is public is defined once, and what prose names in backticks exists."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.test_documentation import ROOT

PACKAGES = ("service", "workers", "fractal_data", "fractune")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
COMMANDS = ROOT / "service" / "commands"  # found by the name that is typed
INTERFACES = {"main", "rewrite", "find"}  # of processes, and of the modules of passes and of formats of datasets


def public(path: Path) -> Iterator[Definition]:
    """The classes and functions that other modules may name; what a decorator registers is called by an address."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            registered = any("router" in ast.unparse(decorator) for decorator in node.decorator_list)
            command = path.parent == COMMANDS and not isinstance(node, ast.ClassDef)
            if not registered and not command and node.name not in INTERFACES:
                yield node


def test_a_public_name_is_defined_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] in ("service", "workers"):
            for node in public(path):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def words(path: Path) -> set[str]:
    """The identifiers of a source file, and those inside its strings that are no docstrings."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(value := getattr(node, name, None), str):
                found.update(value.split("."))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found.update(re.findall(IDENTIFIER, node.value))
    return found


IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
DOTTED = re.compile(rf"(?:service|workers|fractal_data)(?:\.{IDENTIFIER})+")
PATHS = re.compile(r"(?:service|workers|fractal_data|fractune|tests|docs|docker|examples|benchmarks|\.ci)/[\w./*-]*")
PLANNED = {"workers/methods/binary.py", "tests/workers/methods/test_binary.py"}  # what a reader of a page makes
PAGES = sorted(
    path for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "examples/**/*.md") for path in ROOT.glob(pattern)
)
TESTED = sorted(
    path for folder in ("tests", "examples", "benchmarks", "docs", "docker") for path in (ROOT / folder).rglob("*.py")
)
OTHER_TEXTS = (
    "docker/**/*.yml",
    "docker/**/Dockerfile",
    "docker/**/*.sh",
    "docker-compose.yml",
    "examples/**/*.yml",
    "examples/**/*.sh",
    "*.toml",
)
KNOWN = set().union(*map(words, [*SOURCES, *TESTED]))
KNOWN |= {name for pattern in OTHER_TEXTS for path in ROOT.glob(pattern) for name in re.findall(IDENTIFIER, path.read_text())}
FILES = {path.name for pattern in ("*.*", "docs/**/*.*", "examples/**/*.*", "docker/**/*.*") for path in ROOT.glob(pattern)}
# words of other software
KNOWN |= {
    "preexec_fn",
    "FORWARDED_ALLOW_IPS",
    "HttpOnly",
    "viewBox",
    "PIP_INDEX_URL",
    "emptyDir",
    "restricted",
    "f4e2m1",
    "rt_info",
    "kustomize",
    "AccuracyAwareQuantization",
    "DefaultQuantization",
    "ToTensor",
    "download_target_model",
    "maximal_drop",
    "normed_threshold",
    "submit_compile_job",
    "submit_inference_job",
    "submit_profile_job",
    "synthetic_dataset_size",
}
KNOWN |= {"P_c"}  # of a formula


def docstrings(path: Path) -> str:
    """All of a module, one after another."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Module | Definition))
    return "\n".join(filter(None, map(ast.get_docstring, nodes)))


def exists(name: str) -> bool:
    """Whether a module, or what it defines, goes by that dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:length])
        path = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
        if path.exists():
            return length == len(parts) or set(parts[length:]) <= words(path) | {"__main__"}
    return False


def stale(text: str) -> Iterator[str]:
    """What a text names that is not there."""
    for quoted in QUOTED.findall(text):
        yield from (name for name in DOTTED.findall(quoted) if not exists(name) and "/" not in quoted)
        if PATHS.fullmatch(quoted) and quoted not in PLANNED and not list(ROOT.glob(quoted.rstrip("/"))):
            yield quoted
        variable = quoted.startswith("FRACTUNE_")  # these are held to the settings elsewhere
        if re.fullmatch(rf"{IDENTIFIER}(?:\.{IDENTIFIER})*(?:\(\))?", quoted) and not variable and quoted not in FILES:
            yield from (part for part in re.findall(IDENTIFIER, quoted) if part not in KNOWN and not DOTTED.fullmatch(quoted))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_name_what_exists(path: Path) -> None:
    assert sorted(set(stale(docstrings(path)))) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_name_what_exists(path: Path) -> None:
    assert sorted(set(stale(path.read_text()))) == []
