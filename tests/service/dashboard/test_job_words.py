"""Jobs in words, as lists and pages show them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from service.dashboard import formatting
from service.dashboard.formatting import FILTERS, TONES
from workers.jobs.job import Kind, Priority, Progress, Stage, State
from workers.jobs.records import Job
from workers.report.formatting import MINUS, SPACE

JOB = Job(
    id="0123456789abcdef",
    kind=Kind.COMPRESS,
    state=State.RUNNING,
    model="a" * 64,
    dataset=None,
    evaluation=None,
    recipe=None,
    methods="inq",
    name="",
    labels={},
    owner="me",
    project="common",
    retry_of=None,
    runs_on=None,
    priority=Priority.NORMAL,
    attempt=1,
    worker=None,
    created_at=0.0,
    started_at=None,
    ended_at=None,
    progress=None,
    eta_s=None,
    failure=None,
    constraint=None,
    summary=None,
    stages=None,
    last_event=0,
)


def job(**changes: Any) -> Job:
    return replace(JOB, **changes)


def summed(**figures: Any) -> Job:
    return job(summary=figures)


def plain(text: Any) -> Any:
    if isinstance(text, tuple):
        return tuple(map(plain, text))
    return text and text.replace(SPACE, " ").replace(MINUS, "-")


def test_every_filter_is_there_and_every_state_has_a_colour() -> None:
    assert all(callable(getattr(formatting, name)) for name in FILTERS)
    assert set(TONES) == set(State)
    assert formatting.state_name(State.CANCELING) == "Canceling"


def test_a_time_is_for_people_and_for_the_script() -> None:
    text = formatting.when(1764460800.0)
    assert "30 Nov 2025, 00:00 UTC" in text
    stamp = text.split('"')[1]
    assert datetime.fromisoformat(stamp).timestamp() == 1764460800


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ({}, None),
        ({"original_bytes": 100.0, "compressed_bytes": 25.0}, "4.0×"),
        ({"original_bytes": 100.0, "compressed_bytes": 50.0, "original_zip_bytes": 90.0, "zip_bytes": 10.0}, "9.0×"),
        ({"original_bytes": 100.0, "compressed_bytes": 50.0, "zip_bytes": 10.0}, "2.0×"),
        ({"original_bytes": 100.0, "compressed_bytes": 125.0}, "0.80×"),
        ({"original_bytes": 100.0}, None),
        ({"original_bytes": 100.0, "compressed_bytes": 0}, None),
    ],
)
def test_how_many_times_smaller(figures: dict[str, float], text: str | None) -> None:
    assert formatting.smaller(summed(**figures)) == text


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, None),
        ({"accuracy_original": 0.8, "accuracy_compressed": 0.79}, ("drop 1.00 points", "accuracy 79.00 %")),
        ({"accuracy_original": 0.8, "accuracy_compressed": 0.8, "agreement": 0.9}, ("drop 0.00 points", "accuracy 80.00 %")),
        ({"accuracy_original": 0.0, "accuracy_compressed": 0.0}, ("drop 0.00 points", "accuracy 0.00 %")),
        ({"agreement": 0.97, "fidelity_source": "dataset"}, ("97.0 %", "unchanged on real data")),
        ({"agreement": 0.0, "fidelity_source": "fractals"}, ("0.0 %", "unchanged on synthetic data")),
        ({"accuracy_original": 0.8, "agreement": 0.5}, ("50.0 %", "unchanged on synthetic data")),
    ],
)
def test_what_became_of_the_answers(figures: dict[str, Any], words: tuple[str, str] | None) -> None:
    assert plain(formatting.answers_kept(summed(**figures))) == words


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, None),
        ({"ratio": 2.0, "ratio_low": 1.9, "ratio_high": 2.1}, ("2.00×", "")),
        ({"ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6}, ("0.500×", "")),
        ({"ratio": 1.1, "ratio_low": 0.9, "ratio_high": 1.3}, ("1.10×", "no significant difference")),
        ({"ratio": 1.1, "ratio_low": 1.0, "ratio_high": 1.3}, ("1.10×", "no significant difference")),
        ({"ratio": 2.0}, ("2.00×", "no significant difference")),
    ],
)
def test_how_many_times_as_fast(figures: dict[str, float], words: tuple[str, str] | None) -> None:
    assert formatting.faster(summed(**figures)) == words


@pytest.mark.parametrize(
    ("name", "title"),
    [("", "01234567"), ("nightly", "nightly"), ("resnet20 \N{MIDDLE DOT} INQ 4 bit", "INQ 4 bit"), ("a·b", "a·b")],
)
def test_a_title_leaves_the_model_out(name: str, title: str) -> None:
    assert formatting.title_of(job(name=name)) == title


def test_how_long_it_took_is_known_at_the_end() -> None:
    assert formatting.took(job(started_at=10.0)) is None
    assert formatting.took(job(ended_at=10.0)) is None  # canceled while it waited
    assert plain(formatting.took(job(started_at=10.0, ended_at=85.0))) == "1 min 15 s"


@pytest.mark.parametrize(
    ("progress", "state", "share"),
    [
        (None, State.RUNNING, None),
        (Progress(Stage.COMPRESS, 3, 12), State.RUNNING, 0.25),
        (Progress(Stage.COMPRESS, 0, 12), State.RUNNING, 0.0),
        (Progress(Stage.COMPRESS, 3, 0), State.RUNNING, None),
        (Progress(Stage.COMPRESS, 3, 12), State.FAILED, None),
    ],
)
def test_the_share_of_a_stage_that_is_done(progress: Progress | None, state: State, share: float | None) -> None:
    assert formatting.share_done(job(progress=progress, state=state)) == share


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, None), (0.0, "1 s left"), (0.2, "1 s left"), (59.4, "59 s left"), (75.0, "1 min 15 s left")]
)
def test_how_long_it_will_take(seconds: float | None, text: str | None) -> None:
    assert plain(formatting.eta(job(eta_s=seconds))) == text


def test_names_of_knobs_and_words_of_code() -> None:
    assert formatting.labelled("calibration_count") == "Calibration count"
    assert formatting.short("0123456789") == "01234567"
    assert formatting.coded("Set `bits` to <4>.") == "Set <code>bits</code> to &lt;4&gt;."
    assert formatting.coded("`<b>`") == "<code>&lt;b&gt;</code>"
