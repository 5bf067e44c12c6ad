"""fractune compare: several results side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.terminal import options, remote
from service.terminal.console import messages, output, print_json
from service.terminal.summary import Report, read_report
from workers.report.comparison import Column, render_comparison, rows_of


def compare(
    results: Annotated[
        list[str], typer.Argument(metavar="DIR|FILE|JOB ...", help="Folders that optimize wrote, report.json files, jobs.")
    ],
    as_json: options.AsJson = False,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Save a page with the same table here.")] = None,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Show several results side by side: size, fidelity, latency and constraint, each with its interval."""
    columns = [Column(name, report) for name, report in zip(results, _reports(results, url, key), strict=True)]
    rows = rows_of(columns)
    if html:
        html.write_text(render_comparison(columns))
    if as_json:
        print_json({"results": results, "rows": [asdict(row) for row in rows], "notes": notes(columns)})
        return
    table = Table("", *(escape(column.name) for column in columns), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.name, *(f"[bold]{escape(cell)}[/]" if best else escape(cell) for cell, best in row.cells))
    output.print(table)
    for note in notes(columns):
        messages.print(note, markup=False)


JOB = re.compile(r"[0-9a-f]{8,32}")


def notes(columns: Sequence[Column]) -> list[str]:
    """What forbids to compare the figures of the columns."""
    found = []
    if len({_judged(column.report) for column in columns}) > 1:
        found.append("Fidelity was not measured on the same samples.")
    if len({column.report["provenance"]["machine"]["cpu"] for column in columns}) > 1:
        found.append("Latencies come from different machines.")
    if len({column.report["model"]["sha256"] for column in columns}) > 1:
        found.append("These are results of different models: each is told against its own original.")
    return found


def _judged(report: Mapping[str, Any]) -> tuple[str | None, int]:
    fidelity = report["fidelity"] or {"n": 0}
    return report["provenance"]["inputs"].get("evaluation"), fidelity["n"]


def _reports(results: Sequence[str], url: remote.Url, key: remote.Key) -> list[Report]:
    """The reports by folder, file or job."""
    paths = [_local(result) for result in results]
    if all(paths):
        return [read_report(path) for path in paths if path]
    with remote.connect(url, key) as client:
        return [read_report(path) if path else client.report(result) for result, path in zip(results, paths, strict=True)]


def _local(result: str) -> Path | None:
    """The report of a folder or file; None for the id of a job."""
    path = Path(result)
    if path.is_dir():
        path /= "report.json"
    if path.is_file():
        return path
    if JOB.fullmatch(result):
        return None
    raise typer.BadParameter(f"{result} is neither a folder with a report.json, nor a report, nor the id of a job.")
