"""How a training went, as two lines: the loss in training, and that of the samples that chose the state to keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10

from workers.report.charts import Axis, Tick
from workers.report.formatting import significant
from workers.report.schema import TrainingReport

HEIGHT = 150.0
LEAST = 1e-9  # loss


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of a line: across in per cent, down in pixels."""

    x: float
    y: float
    tip: str


@dataclass(frozen=True, slots=True)
class Learning:
    """The lines of both losses, over the steps; losses on a logarithmic axis."""

    height: float
    training: tuple[tuple[CurvePoint, CurvePoint], ...]
    selecting: tuple[tuple[CurvePoint, CurvePoint], ...]
    kept: CurvePoint
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]


def learning(training: TrainingReport) -> Learning:
    """The chart of a training."""
    points = training.curve
    across = Axis([0.0, *(float(step) for step, _, _ in points)])
    exponents = [log10(max(loss, LEAST)) for _, *losses in points for loss in losses]
    down = Axis(exponents)

    def spot(step: int, loss: float, what: str) -> CurvePoint:
        y = HEIGHT * (1 - down.at(log10(max(loss, LEAST))) / 100)
        return CurvePoint(across.at(step), round(y, 1), f"step {step}: {significant(loss)} {what}")

    seen = [spot(step, loss, "in training") for step, loss, _ in points[1:]]  # there is none before the first step
    chosen = [spot(step, loss, "on the selecting samples") for step, _, loss in points]
    kept = next(mark for mark, (step, _, _) in zip(chosen, points, strict=True) if step == training.kept)
    return Learning(
        height=HEIGHT,
        training=_joined(seen),
        selecting=_joined(chosen),
        kept=kept,
        across=across.marks(lambda value: f"{value:,.0f}"),
        down=tuple(
            Tick(round(HEIGHT * (1 - mark.at / 100), 1), mark.text) for mark in down.marks(lambda value: significant(10**value))
        ),
    )


def _joined(spots: Sequence[CurvePoint]) -> tuple[tuple[CurvePoint, CurvePoint], ...]:
    return tuple(pairwise(spots))
