"""Size against fidelity against speed: where the results of one model stand, and which of them no other one beats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from workers.jobs.records import Job
from workers.jobs.store.listing import JobRow
from workers.report.charts import Axis, Tick, point_tick, share_tick
from workers.report.formatting import drop, percent, significant

HEIGHT = 420.0
NAME_WIDTH = 16.0  # of the plot, in per cent, that a name may take
LINE, LINES = 15, 6  # pixels of a line of names, and how many may stand below each other
Measure = Literal["drop", "agreement"]


@dataclass(frozen=True, slots=True)
class Result:
    """A job that can be placed: what is left of the size, what is lost of the answers, how many times as fast it is."""

    line: JobRow
    size: float  # share of the original's, zipped
    loss: float  # of accuracy, or share of changed decisions
    low: float | None
    high: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """A result on the plot, in per cent across and pixels down."""

    result: Result
    x: float
    y: float
    low: float | None  # ends of its interval, in pixels down
    high: float | None
    best: bool  # no other is both smaller and truer
    tip: str
    called: float  # where its name stands, in pixels down


@dataclass(frozen=True, slots=True)
class Plot:
    """Points between their axes."""

    points: tuple[Point, ...]
    frontier: tuple[tuple[Point, Point], ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    limit: float | None  # of what may be lost, in pixels down
    chosen: Result | None  # the smallest within the limit
    height: float = HEIGHT


def measured_by(lines: Sequence[JobRow]) -> Measure:
    """The drop of accuracy when any result has one; results without it are left out then."""
    return "drop" if any((line.job.summary or {}).get("drop") is not None for line in lines) else "agreement"


def results(lines: Sequence[JobRow], measure: Measure) -> list[Result]:
    """Those that have both a size and that measure."""
    found = (_result(line, line.job, measure) for line in lines)
    return [result for result in found if result is not None]


def _result(line: JobRow, job: Job, measure: Measure) -> Result | None:
    figures = job.summary or {}
    zipped = figures.get("original_zip_bytes"), figures.get("zip_bytes")
    before, after = zipped if all(zipped) else (figures.get("original_bytes"), figures.get("compressed_bytes"))
    value, low, high = (figures.get(f"{measure}{end}") for end in ("", "_low", "_high"))
    if not before or not after or value is None:
        return None
    if measure == "agreement":
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    return Result(line, after / before, value, low, high, figures.get("ratio"))


def plot(found: Sequence[Result], limit: float | None) -> Plot | None:
    """The results on axes that hold them, and the limit; smaller is further left, truer is higher."""
    if not found:
        return None
    across = Axis([0.0, *(result.size for result in found)], 5)
    losses = [end for result in found for end in (result.loss, result.low, result.high) if end is not None]
    down = Axis([0.0, *losses, *([] if limit is None else [limit])], 5)
    best = frontier(found)
    placed = [_point(result, across, down, result in best) for result in found]
    placed = _apart(placed)
    edge = sorted((point for point in placed if point.best), key=lambda point: point.x)
    return Plot(
        tuple(placed),
        tuple(pairwise(edge)),
        across.marks(share_tick),
        tuple(Tick(HEIGHT * mark.at / 100, mark.text) for mark in down.marks(point_tick)),
        None if limit is None else HEIGHT * down.at(limit) / 100,
        None if limit is None else min((result for result in found if result.loss <= limit), key=_size, default=None),
    )


def _size(result: Result) -> float:
    return result.size


def frontier(found: Sequence[Result]) -> list[Result]:
    """The results that no other one beats in both size and loss, the smallest first."""
    best: list[Result] = []
    for result in sorted(found, key=lambda result: (result.size, result.loss)):
        if not best or result.loss < best[-1].loss:
            best.append(result)
    return best


def _apart(points: Sequence[Point]) -> list[Point]:
    """The points with a place for each name: above its mark, or as far below it as other names need."""
    placed: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, point.y)):
        tries = (point.y + offset for offset in (-8 if point.y >= 40 else 26, *range(26, 26 + LINES * LINE, LINE)))
        taken = [other.called for other in placed if abs(other.x - point.x) < NAME_WIDTH]
        free = next((at for at in tries if all(abs(at - other) >= LINE for other in taken)), point.y - 8)
        placed.append(replace(point, called=free))
    return placed


def _point(result: Result, across: Axis, down: Axis, best: bool) -> Point:
    low, high = (None if end is None else HEIGHT * down.at(end) / 100 for end in (result.low, result.high))
    job = result.line.job
    speed = f", {significant(result.ratio)}× as fast" if result.ratio else ""
    figures = f"{percent(result.size)} of the size, drop {drop(result.loss)}{speed}"
    tip = f"{job.name or job.id[:8]}\n{job.methods.replace('+', ' + ')}\n{figures}"
    return Point(result, across.at(result.size), HEIGHT * down.at(result.loss) / 100, low, high, best, tip, 0.0)
