"""How long a running job will still take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.jobs.job import Progress, Stage
from workers.jobs.time_left import Expectation, time_left

FORESEEN = {Stage.IMPORT: 2.0, Stage.COMPRESS: 60.0, Stage.VERIFY: 20.0, Stage.REPORT: 8.0}


def left(stage: Stage, done: int, total: int, spent: dict[Stage, float], *, repeats: bool = False) -> float:
    seconds = time_left(Progress(stage, done, total), spent, Expectation(FORESEEN, repeats))
    assert seconds is not None
    return seconds


def test_without_a_forecast_only_the_stage_is_told() -> None:
    halfway = {Stage.IMPORT: 5.0, Stage.COMPRESS: 30.0}
    assert time_left(Progress(Stage.COMPRESS, 3, 10), halfway, Expectation()) == pytest.approx(70.0)
    for done, total in (0, 10), (10, 10), (5, 0):
        assert time_left(Progress(Stage.COMPRESS, done, total), halfway, Expectation()) is None


def test_a_job_that_goes_as_foreseen_is_told_so() -> None:
    assert left(Stage.IMPORT, 0, 0, {Stage.IMPORT: 0.0}) == pytest.approx(90.0)
    assert left(Stage.COMPRESS, 5, 10, {Stage.IMPORT: 2.0, Stage.COMPRESS: 30.0}) == pytest.approx(58.0)
    assert left(Stage.REPORT, 0, 0, {**FORESEEN, Stage.REPORT: 3.0}) == pytest.approx(5.0)


@given(st.floats(0.2, 10), st.integers(1, 9))
def test_a_slower_machine_is_noticed_by_the_middle(pace: float, tenths: int) -> None:
    spent = {Stage.IMPORT: 2 * pace, Stage.COMPRESS: 6 * pace * tenths}
    true = pace * (90 - 2 - 6 * tenths)
    told = left(Stage.COMPRESS, tenths, 10, spent)
    assert min(true, 28 + 60 * (1 - tenths / 10)) <= told * 1.001
    assert told <= max(true, 28 + 60 * (1 - tenths / 10)) * 1.001  # between the forecast and what is seen
    verified = {Stage.IMPORT: 2 * pace, Stage.COMPRESS: 60 * pace, Stage.VERIFY: 10 * pace}
    assert left(Stage.VERIFY, 5, 10, verified) == pytest.approx(18 * pace, rel=0.5)


def test_small_layers_before_a_large_one_are_no_promise() -> None:
    assert left(Stage.COMPRESS, 3, 4, {Stage.IMPORT: 2.0, Stage.COMPRESS: 0.3}) > 28 + 14


def test_stages_of_a_search_come_again() -> None:
    first = {Stage.IMPORT: 2.0, Stage.COMPRESS: 10.0, Stage.VERIFY: 3.0}
    assert left(Stage.COMPRESS, 1, 10, first, repeats=True) == pytest.approx(50 + 17 + 8)
    assert left(Stage.VERIFY, 1, 10, first, repeats=True) == pytest.approx(50 + 17 + 8)


def test_a_job_that_takes_longer_than_foreseen_still_ends() -> None:
    assert left(Stage.REPORT, 0, 0, {Stage.REPORT: 100.0}) == 0.0
