"""Several reports side by side, as rows of text and as a page that loads nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.report import formatting
from workers.report.page import render_alone
from workers.statistics.intervals import Interval

Figures = Mapping[str, Any]  # a report.json, or a part of it
Cell = tuple[str, bool]  # its text, and whether it is the best of the row


@dataclass(frozen=True, slots=True)
class Column:
    """A report and the name it goes by."""

    name: str
    report: Figures


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every report."""

    name: str
    cells: tuple[Cell, ...]


def rows_of(columns: Sequence[Column]) -> list[Row]:
    """The figures that at least one of the reports has; the best is marked where it lies outside all other intervals."""
    reports = [column.report for column in columns]
    rows = [
        Row("model", tuple((report["model"]["name"], False) for report in reports)),
        Row("steps", tuple((_steps(report), False) for report in reports)),
        _numbers("size", reports, lambda r: r["size"]["compressed_bytes"], formatting.size, best=min),
        _numbers("size, zipped", reports, lambda r: r["size"]["zip_bytes"], formatting.size, best=min),
        _numbers("zero weights", reports, lambda r: r["sparsity"], formatting.percent, best=None),
        _intervals("accuracy", reports, ("fidelity", "accuracy_compressed"), formatting.percent, formatting.percent_interval),
        _intervals("drop", reports, ("fidelity", "drop"), formatting.drop, formatting.drop_interval, low=True),
        _intervals("same answers", reports, ("fidelity", "agreement"), formatting.percent, formatting.percent_interval),
        _intervals(
            "KL divergence", reports, ("fidelity", "kl_divergence"), formatting.significant, formatting.plain_interval, low=True
        ),
        _intervals("times as fast", reports, ("benchmark", "ratio"), formatting.significant, formatting.plain_interval),
        Row("constraint", tuple((_verdict(report["constraint"]), False) for report in reports)),
    ]
    return [row for row in rows if any(text for text, _ in row.cells)]


def render_comparison(columns: Sequence[Column]) -> str:
    """The page."""
    return render_alone("comparison.html", columns=columns, rows=rows_of(columns))


def _numbers(
    name: str,
    reports: Sequence[Figures],
    read: Callable[[Figures], float],
    show: Callable[[float], str],
    *,
    best: Callable[[Sequence[float]], float] | None,
) -> Row:
    values = [read(report) for report in reports]
    record = best(values) if best and values.count(best(values)) == 1 and len(values) > 1 else None
    return Row(name, tuple((show(value), value == record) for value in values))


def _intervals(
    name: str,
    reports: Sequence[Figures],
    path: tuple[str, str],
    show: Callable[[float], str],
    bounds: Callable[[Interval], str],
    *,
    low: bool = False,
) -> Row:
    found = [_interval(report, path) for report in reports]
    return Row(
        name,
        tuple(
            (f"{show(interval.value)} ({bounds(interval)})" if interval else "", bool(interval) and _wins(number, found, low))
            for number, interval in enumerate(found)
        ),
    )


def _interval(report: Figures, path: tuple[str, str]) -> Interval | None:
    part = report[path[0]]
    figure = part.get(path[1]) if part else None
    return Interval(figure["value"], figure["low"], figure["high"]) if figure else None


def _wins(number: int, found: Sequence[Interval | None], low: bool) -> bool:
    """Whether an interval lies on the good side of all others."""
    mine = found[number]
    others = [interval for place, interval in enumerate(found) if interval and place != number]
    return bool(mine and others) and all(mine and _apart(mine, other, low) for other in others)


def _apart(better: Interval, worse: Interval, low: bool) -> bool:
    if better.low is None or better.high is None or worse.low is None or worse.high is None:
        return False
    return better.high < worse.low if low else better.low > worse.high


def _steps(report: Figures) -> str:
    names = [str(step["method"]) for step in report["recipe"]["steps"]]
    levels = [f" {step['sparsity_level']:g}" if "sparsity_level" in step else "" for step in report["recipe"]["steps"]]
    return " + ".join(name + level for name, level in zip(names, levels, strict=True))


def _verdict(constraint: Figures | None) -> str:
    if constraint is None:
        return ""
    word = {True: "met", False: "NOT MET"}.get(constraint["met"], "unverified")
    most = formatting.loss(constraint["max_drop"], constraint["metric"], constraint["drop_type"])
    return f"{word} ({formatting.metric(constraint['metric'])}, at most {most})"
