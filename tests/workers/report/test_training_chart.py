"""The chart of a training."""

from typing import Any

import pytest

from workers.report import TrainingReport
from workers.report.training_chart import HEIGHT, learning

CURVE = ((0, 0.5, 0.5), (100, 2.0, 0.3), (200, 1.0, 0.05), (300, 0.9, 0.06))


def report(**changes: Any) -> TrainingReport:
    known = {"steps": 300, "seconds": 12.0, "kept": 200, "selecting": 50, "difference": 1e-6, "curve": CURVE}
    return TrainingReport(**known | changes)


def test_lines_join_what_was_seen() -> None:
    drawn = learning(report())
    assert len(drawn.training) == 2  # nothing was trained before the first step
    assert len(drawn.selecting) == 3
    assert drawn.selecting[0][0].x == 0
    assert drawn.selecting[-1][1].x == 100
    assert all(0 <= spot.y <= HEIGHT for pair in (*drawn.training, *drawn.selecting) for spot in pair)
    assert drawn.selecting[1][1].y > drawn.selecting[0][0].y  # a smaller loss is further down


def test_the_kept_state_is_marked() -> None:
    assert learning(report()).kept == learning(report()).selecting[1][1]


@pytest.mark.parametrize("curve", [((0, 0.5, 0.5),), ((0, 0.0, 0.0), (1, 0.0, 0.0))])
def test_a_training_of_no_steps_or_no_loss_can_be_drawn(curve: tuple[tuple[int, float, float], ...]) -> None:
    assert learning(report(kept=0, curve=curve)).down
