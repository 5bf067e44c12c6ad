"""The plane of size and fidelity."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.tradeoff import Result, frontier, measured_by, plot, results
from workers.jobs.job import Kind, State
from workers.jobs.records import Job
from workers.jobs.store.listing import JobRow

UNKNOWN: dict[str, Any] = dict.fromkeys(field.name for field in fields(Job))
JOB = Job(**UNKNOWN | {"id": "0" * 32, "kind": Kind.COMPRESS, "state": State.SUCCEEDED, "methods": "inq", "name": ""})


def line(**summary: float) -> JobRow:
    return JobRow(replace(JOB, summary=summary), "model.onnx")


def result(size: float, loss: float) -> Result:
    return Result(line(), size, loss, None, None, None)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(-3, 20)), min_size=1, max_size=30))
def test_no_result_beats_one_on_the_frontier(pairs: list[tuple[int, int]]) -> None:
    found = [result(size / 20, loss / 100) for size, loss in pairs]
    best = frontier(found)
    for one in found:
        beaten = any(
            other.size <= one.size and other.loss <= one.loss and (other.size, other.loss) != (one.size, one.loss)
            for other in found
        )
        assert any((one.size, one.loss) == (other.size, other.loss) for other in best) == (not beaten)


def test_agreement_is_turned_into_what_is_lost() -> None:
    lines = [line(original_zip_bytes=100, zip_bytes=25, agreement=0.9, agreement_low=0.8, agreement_high=0.95)]
    assert measured_by(lines) == "agreement"
    [found] = results(lines, "agreement")
    assert (found.size, found.loss, found.low, found.high) == pytest.approx((0.25, 0.1, 0.05, 0.2))


def test_results_without_the_measure_are_left_out() -> None:
    lines = [line(original_zip_bytes=100, zip_bytes=25, drop=0.01), line(original_zip_bytes=100, zip_bytes=50, agreement=0.9)]
    assert measured_by(lines) == "drop"
    assert [found.size for found in results(lines, "drop")] == [0.25]
    assert plot([], 0.01) is None


def test_smaller_is_further_left_and_truer_is_higher() -> None:
    drawn = plot([result(0.2, 0.05), result(0.6, 0.0)], 0.02)
    assert drawn is not None
    small, true = drawn.points
    assert small.x < true.x
    assert small.y > true.y
    assert drawn.limit is not None
    assert true.y < drawn.limit < small.y
