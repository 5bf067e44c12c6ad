"""Where the marks of a chart stand: across in per cent of the width, so that charts fit every screen; upwards in pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from workers.report.formatting import duration, milliseconds, percent, significant, size, tick, tick_size
from workers.report.schema import Benchmark, LayerReport, StageTime
from workers.statistics.intervals import Interval

BINS = 48
MOST_DOTS = 400
COLUMN_HEIGHT = 96.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis, in per cent (across) or pixels (up)."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A column or row of a chart; `at` and `length` in per cent, `depth` and `other` in pixels."""

    at: float
    length: float
    depth: float
    tip: str
    other: float = 0.0  # the same of the original, drawn behind


@dataclass(frozen=True, slots=True)
class Columns:
    """One quantity of every layer, in the order of the network."""

    title: str
    height: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval on an axis, in per cent of its length."""

    label: str
    text: str
    role: str  # original, compressed or difference
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Whiskers:
    """Intervals on one axis."""

    rows: tuple[Whisker, ...]
    ticks: tuple[Tick, ...]
    mark: float | None = None  # a limit or a neutral value, in per cent


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times of both models on one axis: the original's bins stand, the compressed model's hang."""

    original: tuple[Bar, ...]
    compressed: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    medians: tuple[float, float]
    beyond: int  # times of either that are beyond the axis


@dataclass(frozen=True, slots=True)
class Rounds:
    """The ratio of every round, one below the other as they were run."""

    dots: tuple[tuple[float, float, str], ...]  # across in per cent, down in per cent, tip
    ticks: tuple[Tick, ...]
    low: float | None
    high: float | None
    value: float
    one: float
    beyond: int  # rounds that are beyond the axis


class Axis:
    """A linear axis that holds some values, from and to round ones unless `exact`."""

    def __init__(self, values: Sequence[float], ticks: int = 4, *, exact: bool = False) -> None:
        low, high = min(values), max(values)
        if high - low <= 1e-9 * max(abs(low), abs(high)):
            low, high = low - abs(low) / 10 - 1e-9, high + abs(high) / 10 + 1e-9
        self.step = _round_step((high - low) / ticks)
        self.low = low if exact else floor(low / self.step + 1e-9) * self.step
        self.high = high if exact else ceil(high / self.step - 1e-9) * self.step

    def at(self, value: float) -> float:
        """Per cent of the axis, cut off at its ends."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)

    def marks(self, text: Callable[[float], str]) -> tuple[Tick, ...]:
        """The round values on the axis."""
        first, last = ceil(self.low / self.step - 1e-9), floor(self.high / self.step + 1e-9)
        return tuple(Tick(self.at(number * self.step), text(number * self.step)) for number in range(first, last + 1))


def _round_step(rough: float) -> float:
    """The next of 1, 2, 5, 10, ... above."""
    power = 10.0 ** floor(log10(rough))
    return next(float(factor * power) for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def layer_columns(layers: Sequence[LayerReport]) -> tuple[Columns, ...]:
    """Relative error, share of zeros, and bytes of every layer."""
    names = [layer.name for layer in layers]
    errors = [layer.relative_error for layer in layers]
    zeros = [layer.sparsity for layer in layers]
    stored, before = [layer.bytes for layer in layers], [layer.original_bytes for layer in layers]
    return (
        columns("Relative error", names, errors, significant, tick),
        columns("Share of zeros", names, zeros, percent, share_tick),
        columns("Bytes", names, stored, size, tick_size, before),
    )


def columns(
    title: str,
    names: Sequence[str],
    values: Sequence[float],
    text: Callable[[float], str],
    tick_text: Callable[[float], str],
    behind: Sequence[float] = (),
    room: int = 0,
) -> Columns:
    """One value for each of the layers `names`, told by `text`; `behind` is the same of the original.

    There is room for `room` layers where fewer are known yet.
    """
    others = behind or [0.0] * len(names)
    axis, pitch, height = Axis([0.0, *values, *others], 3), 100 / max(len(names), room), COLUMN_HEIGHT
    bars = tuple(
        Bar(
            at=round((index + 0.1) * pitch, 3),
            length=round(0.8 * pitch, 3),
            depth=max(0.5, height * axis.at(value) / 100),
            tip=f"{name}\n{title}: {text(value)}" + (f", was {text(other)}" if behind else ""),
            other=height * axis.at(other) / 100,
        )
        for index, (name, value, other) in enumerate(zip(names, values, others, strict=True))
    )
    return Columns(title, height, bars, tuple(Tick(height * mark.at / 100, mark.text) for mark in axis.marks(tick_text)))


def share_tick(share: float) -> str:
    """A round share on an axis: 0.25 -> 25 %."""
    return tick(100 * share, "%")


def point_tick(share: float) -> str:
    """A round difference of shares on an axis that is in points: 0.25 -> 25."""
    return tick(100 * share)


def whiskers(
    rows: Sequence[tuple[str, str, str, Interval]], mark: float | None = None, text: Callable[[float], str] = share_tick
) -> Whiskers:
    """Rows of (label, text, role, interval) on one axis, shares if no other `text` is for its ticks.

    `mark` is a limit or a neutral value.
    """
    ends = [end for _, _, _, interval in rows for end in (interval.value, interval.low, interval.high) if end is not None]
    axis = Axis([*ends, *([] if mark is None else [mark])])
    return Whiskers(
        tuple(
            Whisker(label, told, role, axis.at(interval.value), _at(axis, interval.low), _at(axis, interval.high))
            for label, told, role, interval in rows
        ),
        axis.marks(text),
        _at(axis, mark),
    )


def _at(axis: Axis, value: float | None) -> float | None:
    return None if value is None else axis.at(value)


def distribution(benchmark: Benchmark, height: float = 72) -> Distribution:
    """Histograms of wall time per inference, up to where the usual times end."""
    sides = [np.array(side.wall_ms) for side in (benchmark.original, benchmark.compressed)]
    axis = Axis([float(min(map(np.min, sides))), max(map(_usual_end, sides))], 5, exact=True)
    edges = np.linspace(axis.low, axis.high, BINS + 1)
    counts = [np.histogram(times, edges)[0] for times in sides]
    scale = height / max(1, int(np.max(counts)))
    original, compressed = (_bins(axis, edges, count, scale) for count in counts)
    return Distribution(
        original,
        compressed,
        axis.marks(lambda value: tick(value, "ms")),
        (axis.at(float(np.median(sides[0]))), axis.at(float(np.median(sides[1])))),
        int(sum(np.count_nonzero(times > axis.high) for times in sides)),
    )


def _usual_end(times: NDArray[np.float64]) -> float:
    """Where the usual times end: at the last, or well beyond the upper quartile."""
    lower, upper = np.quantile(times, (0.25, 0.75))
    return float(min(times.max(), upper + 4 * (upper - lower)))


def _bins(axis: Axis, edges: NDArray[np.float64], counts: NDArray[np.int64], scale: float) -> tuple[Bar, ...]:
    return tuple(
        Bar(axis.at(start), round(92 / BINS, 3), scale * int(count), f"{count} at {significant(start)} to {milliseconds(end)}")
        for (start, end), count in zip(pairwise(edges.tolist()), counts, strict=True)
        if count
    )


def rounds(benchmark: Benchmark) -> Rounds:
    """The ratio of every round, some left out where they are many."""
    ratio, ratios = benchmark.ratio, np.divide(benchmark.original.wall_ms, benchmark.compressed.wall_ms)
    shown = np.unique(np.linspace(0, len(ratios) - 1, MOST_DOTS).round().astype(int)).tolist()
    ends = [ratio.value, 1.0, *_usual_range(ratios)]
    axis = Axis([*ends, *(end for end in (ratio.low, ratio.high) if end is not None)], 5, exact=True)
    return Rounds(
        tuple(
            (axis.at(ratios[n]), round(100 * (n + 0.5) / len(ratios), 2), f"Round {n + 1}: {ratios[n]:.3f}")
            for n in shown
            if axis.low <= ratios[n] <= axis.high
        ),
        axis.marks(tick),
        _at(axis, ratio.low),
        _at(axis, ratio.high),
        axis.at(ratio.value),
        axis.at(1.0),
        int(np.count_nonzero((ratios < axis.low) | (ratios > axis.high))),
    )


def _usual_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of what is no outlier: none is beyond three times the quartiles' distance."""
    lower, upper = np.quantile(values, (0.25, 0.75))
    reach = 3 * (upper - lower)
    return float(max(values.min(), lower - reach)), float(min(values.max(), upper + reach))


def stages(times: Mapping[str, StageTime]) -> tuple[Bar, ...]:
    """The stages of the job end to end."""
    total, start, bars = sum(time.wall_s for time in times.values()) or 1.0, 0.0, []
    for stage, time in times.items():
        length = 100 * time.wall_s / total
        bars.append(Bar(round(start, 3), round(max(0.2, length - 0.2), 3), 22, f"{stage} {duration(time.wall_s)}"))
        start += length
    return tuple(bars)
