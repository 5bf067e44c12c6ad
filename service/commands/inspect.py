"""fractune inspect: what is in a model, without changing it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.table import Table

from service.commands import exit_codes, options
from service.commands.console import complain, output
from service.commands.local import run_locally
from workers.jobs.job import Kind, Task
from workers.settings import Settings


def inspect(
    model: options.Model, as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False
) -> None:
    """Show the inputs, outputs, layers and size of MODEL, or why it is refused."""
    with TemporaryDirectory(prefix="fractune-") as folder:
        task = Task(Kind.INSPECT, model=str(model.resolve()), out=folder)
        failure = run_locally(task, Settings(), lambda _: None)
        if failure:
            complain(failure)
            raise typer.Exit(exit_codes.of_failure(failure.code))
        inspection = json.loads((Path(folder) / "inspection.json").read_text())
    if as_json:
        output.print_json(json.dumps(inspection))
    else:
        output.print(_table(inspection))


def _table(inspection: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in inspection.items():
        rows = value if isinstance(value, list) else [value]
        for index, row in enumerate(rows):
            table.add_row(name if index == 0 else "", _line(row))
    return table


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {item}" for name, item in value.items() if item is not None)
    return f"{value:,}" if isinstance(value, int) else str(value)
