"""The site builds, fetches nothing from elsewhere, and its reference has every command, setting, route and error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from service.cli import ENTRIES, load_command
from tests.contracts.test_errors import LEAVES
from tests.end_to_end.browser import browser, chromium
from workers.errors import Refusal
from workers.methods import METHODS
from workers.settings import Limits, OpenIdSettings, Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": "", "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def text(site: Path, page: str) -> str:
    return re.sub(r"<[^>]+>", "", (site / page).read_text())


def test_it_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?((?:https?:)?//[^\">]+)", page.read_text())
        assert fetched == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:", sheet.read_text()), sheet


def test_it_is_searched_from_a_folder(site: Path) -> None:
    executable = chromium()
    if executable is None:
        pytest.skip("found no chromium on PATH")
    with browser(executable) as started:
        page = started.new_page()
        page.goto((site / "how-to" / "pipelines.html").as_uri())
        page.get_by_role("textbox", name="Search").click()
        page.keyboard.type("letterbox")
        page.locator(".md-search-result a", has_text="letterbox").first.click()
        expect(page).to_have_url(re.compile("/preprocessing.html"))


def test_every_page_can_be_reached(site: Path) -> None:
    linked = (site / "index.html").read_text()
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")} - {"index.html", "404.html"}
    assert {page for page in pages if f'href="{page}"' not in linked} == set()


def test_every_command_is_there(site: Path) -> None:
    page = text(site, "reference/commands.html")
    for name in ENTRIES:
        assert f"fractune {name}" in page
        for option in (option for parameter in load_command(name).params for option in parameter.opts):
            assert option in page, (name, option)


def test_the_list_of_commands_says_what_their_docstrings_say() -> None:
    for name, entry in ENTRIES.items():
        assert " ".join((load_command(name).help or "").split("\n\n")[0].split()) == entry.help


def test_every_setting_is_there(site: Path) -> None:
    page = text(site, "reference/settings.html")
    names = [f"FRACTUNE_{name.upper()}" for name in Settings.model_fields if name != "limits"]
    names += [f"FRACTUNE_LIMITS__{name.upper()}" for name in Limits.model_fields]
    assert [name for name in names if name not in page] == []


def test_every_error_and_step_is_there(site: Path) -> None:
    errors, steps = text(site, "reference/errors.html"), text(site, "reference/recipe-steps.html")
    assert [kind.code for kind in LEAVES if kind.code not in errors] == []
    assert [step for step in METHODS for knob in step.model_fields if knob not in steps] == []


@pytest.mark.parametrize(
    "path", ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]
)
def test_variables_that_pages_name_exist(path: str) -> None:
    known = {f"FRACTUNE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"FRACTUNE_LIMITS__{name.upper()}" for name in Limits.model_fields}
    known |= {f"FRACTUNE_OIDC__{name.upper()}" for name in OpenIdSettings.model_fields}
    elsewhere = "\n".join(
        file.read_text()
        for pattern in (
            "docker-compose.yml",
            "docker/*.yml",
            "examples/pipelines/*.sh",
            "service/commands/*.py",
            "service/terminal/*.py",
            "workers/settings.py",
        )
        for file in ROOT.glob(pattern)
    )
    named = set(re.findall(r"\bFRACTUNE_[A-Z_]+[A-Z]\b", (ROOT / path).read_text()))
    assert {name for name in named - known if name not in elsewhere} == set()


SHOWN = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))]


@pytest.mark.parametrize("path", SHOWN)
def test_commands_that_pages_show_exist(path: str) -> None:
    for line in re.findall(r"^(?:\.venv/bin/)?fractune (.+)$", (ROOT / path).read_text(), re.MULTILINE):
        name, *arguments = line.split()
        options = {option for parameter in load_command(name).params for option in parameter.opts}
        used = [argument for argument in arguments if argument.startswith("--")]
        assert set(used) <= options, line


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
READ = sorted(path for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for path in ROOT.glob(pattern))


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"\]\([^)]*\)", "", heading).lower() for heading in headings)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading).strip()) for heading in plain}


@pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not re.match(r"[a-z]+:", link) and (
            not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
        ):
            dead.append(link)
    assert dead == []


def test_troubleshooting_knows_every_refusal_and_nothing_else() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    codes = {kind.code for kind in LEAVES}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", page)) - {"RE2"}
    assert named - codes == set()
    assert {kind.code for kind in LEAVES if issubclass(kind, Refusal)} - named == set()
