"""Marks stand where their values are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.report import Report
from workers.report.charts import Axis, distribution, layer_columns, rounds, stages, whiskers
from workers.report.formatting import tick
from workers.statistics.intervals import Interval

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=5))
def test_an_axis_holds_its_values_and_few_marks(values: list[float]) -> None:
    axis = Axis(values)
    slack = 1e-6 * (axis.high - axis.low)  # nobody sees a millionth of an axis
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert 1 <= len(axis.marks(tick)) <= 12


@given(st.lists(numbers, min_size=2, max_size=5, unique=True))
def test_greater_values_stand_further_right(values: list[float]) -> None:
    axis = Axis(values)
    placed = [axis.at(value) for value in sorted(values)]
    assert placed == sorted(placed)
    assert 0 <= placed[0] <= placed[-1] <= 100


def test_columns_are_as_high_as_their_values(report: Report) -> None:
    errors, zeros, stored = layer_columns(report.layers)
    assert errors.bars[1].depth == pytest.approx(2 * errors.bars[0].depth)
    assert errors.bars[1].depth == pytest.approx(errors.height)
    assert zeros.bars[0].depth == zeros.bars[1].depth
    assert stored.bars[0].other == pytest.approx(stored.bars[0].depth * 1728 / 1178)
    assert "conv1" in errors.bars[0].tip


def test_a_whisker_spans_its_interval() -> None:
    chart = whiskers([("Drop", "0.7 %", "difference", Interval(0.007, -0.004, 0.019))], mark=0.02)
    row = chart.rows[0]
    assert row.low is not None
    assert row.high is not None
    assert chart.mark is not None
    assert row.low < row.value < row.high < chart.mark <= 100


def test_an_interval_without_bounds_is_a_point() -> None:
    row = whiskers([("Drop", "", "difference", Interval(0.5, None, None))]).rows[0]
    assert (row.low, row.high) == (None, None)


def test_every_time_is_in_a_bin_or_counted_as_beyond(report: Report) -> None:
    assert report.benchmark
    chart = distribution(report.benchmark)
    counted = sum(int(bar.tip.split()[0]) for bar in (*chart.original, *chart.compressed))
    assert counted + chart.beyond == 8
    assert max(bar.depth for bar in (*chart.original, *chart.compressed)) == pytest.approx(72)


def test_every_round_is_a_dot(report: Report) -> None:
    assert report.benchmark
    chart = rounds(report.benchmark)
    assert len(chart.dots) == 4
    assert chart.low is not None
    assert chart.low < chart.one < chart.value


def test_stages_fill_the_bar(report: Report) -> None:
    bars = stages(report.time)
    assert bars[-1].at + bars[-1].length == pytest.approx(100, abs=0.5)
    assert bars[0].length > bars[1].length
