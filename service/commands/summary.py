"""The result of a job as a table: what it was, what it is now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

Report = dict[str, Any]


def read_report(path: Path) -> Report:
    """report.json as plain values. Raises OSError."""
    report: Report = json.loads(path.read_text())
    return report


def summary(report: Mapping[str, Any]) -> Table:
    """Size, sparsity, fidelity and latency before and after; intervals in brackets are 95 %."""
    table = Table("", "original", "compressed", "", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    _add_size(table, report["size"])
    table.add_row("weights that are zero", "", _percent(report["sparsity"]))
    if report.get("fidelity"):
        _add_fidelity(table, report["fidelity"])
    if report.get("benchmark"):
        _add_benchmark(table, report["benchmark"])
    if report.get("constraint"):
        _add_constraint(table, report["constraint"])
    return table


def _add_size(table: Table, size: Mapping[str, Any]) -> None:
    before, after, packed = size["original_bytes"], size["compressed_bytes"], size["zip_bytes"]
    table.add_row("size", _bytes(before), _bytes(after), f"{before / after:.2f} times smaller")
    table.add_row("size, zipped", "", _bytes(packed))


def _add_fidelity(table: Table, fidelity: Mapping[str, Any]) -> None:
    before, after = fidelity.get("accuracy_original"), fidelity.get("accuracy_compressed")
    if before and after:
        table.add_row(
            "accuracy", _percent(before["value"]), _percent(after["value"]), f"{_interval(after)} n = {fidelity['n']}"
        )
    agreement = fidelity.get("agreement")
    if agreement:
        table.add_row("same answers", "", _percent(agreement["value"]), f"{_interval(agreement)} n = {fidelity['n']}")


def _add_benchmark(table: Table, benchmark: Mapping[str, Any]) -> None:
    ratio = benchmark["ratio"]
    verdict = "" if ratio["low"] > 1 or ratio["high"] < 1 else ", no significant difference"
    table.add_row("latency ratio", "", f"{ratio['value']:.2f}", f"[{ratio['low']:.2f}, {ratio['high']:.2f}]{verdict}")


def _add_constraint(table: Table, constraint: Mapping[str, Any]) -> None:
    met = {True: "[green]met", False: "[bold red]NOT MET"}.get(constraint["met"], "[yellow]unverified")
    table.add_row("constraint", "", met)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(figure: Mapping[str, float]) -> str:
    return f"\\[{100 * figure['low']:.2f}, {100 * figure['high']:.2f}]"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
