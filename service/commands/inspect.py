"""fractune inspect: what is in a model, without changing it."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.terminal import exit_codes, options
from service.terminal.console import complain, messages, output, print_json
from service.terminal.local import run_locally
from service.terminal.progress import StageProgress
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.recipe.assumptions import pixel_hint
from workers.settings import read_settings


def inspect(
    model: options.Model,
    dataset: Annotated[bool, typer.Option("--dataset", help="MODEL is a dataset: show samples, sizes and classes.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the inputs, outputs, layers and size of MODEL, or why it is refused; or what is in a dataset."""
    task = JobTask(Kind.INSPECT_DATASET, "", "", data=str(model.resolve()))
    inspection = found_by(task, as_json) if dataset else inspection_of(model, quiet=as_json)
    if as_json:
        print_json(inspection)
    else:
        output.print(*_tables(inspection), sep="\n")
        if inspection.get("raw_pixels"):
            messages.print(pixel_hint(inspection["raw_pixels"]), style="yellow", markup=False)


def inspection_of(model: Path, recipe: Recipe | None = None, quiet: bool = False) -> dict[str, Any]:
    """What the sandboxed child finds in a model, shapes as a recipe gives them; exits where it is refused."""
    instructions = recipe.model_dump(mode="json", by_alias=True) if recipe else None
    return found_by(JobTask(Kind.INSPECT, str(model.resolve()), "", instructions), quiet)


def found_by(task: JobTask, quiet: bool = False) -> dict[str, Any]:
    """What the sandboxed child finds at an inspection, with its progress shown meanwhile; exits where it refuses."""
    with TemporaryDirectory(prefix="fractune-") as folder:
        with StageProgress(quiet or not messages.is_terminal) as progress:
            failure = run_locally(replace(task, out=folder), read_settings(), progress.show)
        if failure:
            complain(failure)
            raise typer.Exit(exit_codes.of_failure(failure.code))
        found: dict[str, Any] = json.loads((Path(folder) / "inspection.json").read_text())
        return found


def _tables(inspection: dict[str, Any]) -> list[Table]:
    """First what the model is, then a table for every list of things in it."""
    facts = Table(box=None, pad_edge=False, show_header=False)
    tables = [facts]
    for name, value in inspection.items():
        rows = value if isinstance(value, list) else [value]
        if isinstance(value, list) and rows and isinstance(rows[0], dict):
            tables.append(_listing(name, rows))
        elif rows:
            facts.add_row(name, "\n".join(_cell(row) for row in rows))
    return tables


def _listing(name: str, rows: list[dict[str, Any]]) -> Table:
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    table = Table(*columns, title=name, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(name))}: {_cell(count)}" for name, count in value.items())
    if isinstance(value, list):
        return (", " if any(isinstance(entry, str) for entry in value) else "x").join(escape(str(entry)) for entry in value)
    return f"{value:,}" if isinstance(value, int | float) else "" if value is None else escape(str(value))
