"""The candidates of a search or a front on the plane of size and fidelity."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from workers.report.charts import Axis, Tick
from workers.report.formatting import percent, significant, size, tick, tick_size
from workers.report.schema import CandidateReport, Exploration
from workers.statistics.intervals import Interval

HEIGHT = 260.0


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A candidate: across in per cent, down in pixels."""

    x: float
    y: float
    low: float  # ends of its interval, in pixels down
    high: float
    role: str  # chosen, compressed (on the front) or original (beaten)
    tip: str


@dataclass(frozen=True, slots=True)
class Plane:
    """Smaller is further left, more faithful is higher."""

    measure: str
    spots: tuple[ParetoPoint, ...]
    edges: tuple[tuple[ParetoPoint, ParetoPoint], ...]  # of the front
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    height: float = HEIGHT


def plane(explored: Exploration) -> Plane | None:
    """The plot; None where the candidates have no common measure of fidelity."""
    candidates = explored.candidates
    measure, losses = _losses(candidates)
    if not losses:
        return None
    across = Axis([0.0, *(candidate.zip_bytes for candidate in candidates)], 5)
    down = Axis([0.0, *(end for loss in losses for end in _ends(loss))], 5)
    spots = tuple(
        _spot(candidate, loss, across, down, _tip(candidate, explored.knob, measure, loss))
        for candidate, loss in zip(candidates, losses, strict=True)
    )
    front = [spot for spot, candidate in zip(spots, candidates, strict=True) if candidate.on_front]
    edge = sorted(front, key=lambda spot: spot.x)
    marks = tuple(Tick(HEIGHT * mark.at / 100, mark.text) for mark in down.marks(lambda share: tick(100 * share, "%")))
    return Plane(measure, spots, tuple(pairwise(edge)), across.marks(tick_size), marks)


def _spot(candidate: CandidateReport, loss: Interval, across: Axis, down: Axis, tip: str) -> ParetoPoint:
    y, low, high = (HEIGHT * down.at(value) / 100 for value in (loss.value, *_ends(loss)))
    role = "chosen" if candidate.chosen else "compressed" if candidate.on_front else "original"
    return ParetoPoint(across.at(candidate.zip_bytes), y, low, high, role, tip)


def _losses(candidates: Sequence[CandidateReport]) -> tuple[str, list[Interval]]:
    agreements = [candidate.agreement for candidate in candidates if candidate.agreement]
    if len(agreements) == len(candidates):
        return "Decisions changed", [_complement(interval) for interval in agreements]
    errors = [candidate.relative_error for candidate in candidates if candidate.relative_error]
    return "Relative error", errors if len(errors) == len(candidates) else []


def _complement(interval: Interval) -> Interval:
    low, high = (None if end is None else 1 - end for end in (interval.high, interval.low))
    return Interval(1 - interval.value, low, high)


def _ends(interval: Interval) -> tuple[float, float]:
    return (
        interval.value if interval.low is None else interval.low,
        interval.value if interval.high is None else interval.high,
    )


def _tip(candidate: CandidateReport, knob: str, measure: str, loss: Interval) -> str:
    speed = f"\n{significant(candidate.ratio.value)}\u00d7 as fast" if candidate.ratio else ""
    facts = f"{percent(candidate.sparsity)} zeros, {size(candidate.zip_bytes)} zipped"
    return f"{knob} {candidate.setting:g}\n{facts}\n{measure.lower()}: {percent(loss.value)}{speed}"
