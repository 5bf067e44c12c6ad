"""Where commands write: results to standard output, everything else to standard error."""

import json
import os
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from workers.errors import FractuneError
from workers.jobs.job import Failure

ENDLESS = 100_000  # columns
# all but tab and line feed: what moves a cursor or begins an escape sequence
CONTROL = dict.fromkeys((*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """Without control characters: names, messages and logs may come out of hostile files."""
    return text.translate(CONTROL)


class PlainConsole(Console):
    """Lets no text that it is given control the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every cell and line that is a string comes through here."""
        return super().render_str(printable(text), **options)

    def out(self, *objects: Any, **options: Any) -> None:
        """As it is, but for control characters."""
        super().out(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


def _wide(stream: TextIO) -> int | None:
    """No line of a table is cut for a program that reads it."""
    return None if stream.isatty() or os.environ.get("COLUMNS") else ENDLESS


output = PlainConsole(soft_wrap=True, width=_wide(sys.stdout))
messages = PlainConsole(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """One document, for programs."""
    output.print_json(json.dumps(value))


def complain(error: FractuneError | Failure) -> None:
    """Say what went wrong and what helps."""
    place = [printable(str(part)) for part in (error.stage, error.layer) if part] if isinstance(error, Failure) else []
    messages.print(
        Text.assemble(
            (error.code, "bold red"), " ", printable(error.message), (f" [{', '.join(place)}]" if place else "", "dim")
        )
    )
    messages.print(Text(printable(error.hint), "dim"))
