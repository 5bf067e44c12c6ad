"""What is printed controls no terminal, whatever file it came out of."""

import io

import pytest
from rich.table import Table

from service.terminal import console
from workers.jobs.job import Failure, Stage

HOSTILE = "conv\x1b]0;owned\x07\x1b[2J\x9b31m\r"


def printed(show: str) -> str:
    file = io.StringIO()
    target = console.PlainConsole(file=file, soft_wrap=True)
    table = Table("layer")
    table.add_row(HOSTILE)
    {"line": lambda: target.print(HOSTILE), "table": lambda: target.print(table), "log": lambda: target.out(HOSTILE)}[show]()
    return file.getvalue()


def harmless(text: str) -> bool:
    return "conv" in text and not any(ord(letter) < 32 and letter not in "\t\n" or 127 <= ord(letter) < 160 for letter in text)


def test_lines_tables_and_logs() -> None:
    assert all(harmless(printed(show)) for show in ("line", "table", "log"))


def test_failures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "messages", console.PlainConsole(file=file, soft_wrap=True))
    console.complain(Failure("INTERNAL", HOSTILE, HOSTILE, Stage.IMPORT, HOSTILE))
    assert harmless(file.getvalue())
