"""From the way a child ended to a failure that tells its user what to do."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from workers.confinement.launch import LAYERS
from workers.errors import Canceled, TimedOut
from workers.jobs.job import Progress, Stage
from workers.worker.sandbox.exit_classification import (
    MESSAGE_LENGTH,
    EventLog,
    ExitStatus,
    classify_failure,
    killed_by_others,
)

GIB = 2**30
CLEAN = ExitStatus(0, "", 2 * GIB, None, oom_kill=False)


def ended(**how: Any) -> ExitStatus:
    return replace(CLEAN, **how)


def heard(*events: dict[str, Any]) -> EventLog:
    log = EventLog()
    for event in events:
        log.note(event)
    return log


DONE = {"event": "done"}
AT_LAYER = {"event": "progress", "stage": "compress", "done": 3, "total": 9, "layer": "conv1"}
REFUSAL = {"event": "failure", "code": "MODEL_UNREADABLE", "message": "It is damaged.", "hint": "Copy it again."}


def test_a_child_that_says_so_and_ends_well_is_done() -> None:
    assert classify_failure(heard(DONE), CLEAN) is None


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        ([], CLEAN, "INTERNAL"),  # it never said that it was done
        ([DONE], ended(exit_code=1), "INTERNAL"),
        ([DONE], ended(exit_code=-signal.SIGSEGV), "CRASHED"),
        ([REFUSAL], ended(exit_code=2), "MODEL_UNREADABLE"),
        ([REFUSAL], ended(exit_code=-signal.SIGKILL), "MODEL_UNREADABLE"),
        ([REFUSAL], ended(exit_code=-signal.SIGTERM, stopped=Canceled()), "CANCELED"),
        ([DONE], ended(exit_code=-signal.SIGTERM, stopped=TimedOut()), "TIMED_OUT"),
        ([], ended(exit_code=-signal.SIGXCPU), "TIMED_OUT"),
        ([], ended(exit_code=-signal.SIGXFSZ), "OUT_OF_DISK"),
        ([], ended(exit_code=-signal.SIGKILL, oom_kill=True), "OUT_OF_MEMORY"),
        ([], ended(exit_code=-signal.SIGKILL), "CRASHED"),
        ([], ended(exit_code=-signal.SIGSEGV, oom_kill=True), "CRASHED"),  # the kernel killed somebody else
        ([], ended(exit_code=-signal.SIGABRT, log="what():  std::bad_alloc\n"), "OUT_OF_MEMORY"),
        ([], ended(exit_code=1, log="numpy: Unable to allocate 8 GiB"), "OUT_OF_MEMORY"),
        ([], ended(exit_code=1, log="MemoryError"), "OUT_OF_MEMORY"),
        ([], ended(exit_code=1, log="OSError: [Errno 28] No space left on device"), "OUT_OF_DISK"),
        ([], ended(exit_code=1, log="OSError: [Errno 122] Disk quota exceeded"), "OUT_OF_DISK"),
        ([], ended(exit_code=3, log="Traceback\nKeyError: 'x'\n"), "INTERNAL"),
    ],
)
def test_what_became_of_a_child(events: list[dict[str, Any]], status: ExitStatus, code: str) -> None:
    failure = classify_failure(heard(*events), status)
    assert failure is not None
    assert failure.code == code
    assert failure.message
    assert failure.hint


def test_a_failure_tells_where_the_work_stood() -> None:
    failure = classify_failure(heard(AT_LAYER), ended(exit_code=-signal.SIGSEGV))
    assert failure is not None
    assert (failure.stage, failure.layer) == (Stage.COMPRESS, "conv1")
    assert "SIGSEGV" in failure.message


def test_an_unknown_end_quotes_the_last_line_of_the_log() -> None:
    failure = classify_failure(heard(), ended(exit_code=3, log="a\nKeyError: 'x'\n\n"))
    assert failure is not None
    assert failure.message.endswith("status 3: KeyError: 'x'")
    failure = classify_failure(heard(), ended(exit_code=3, log=" \n"))
    assert failure is not None
    assert failure.message.endswith("its log is empty")


def test_a_limit_of_memory_is_named() -> None:
    failure = classify_failure(heard(), ended(exit_code=1, log="MemoryError", memory=int(1.5 * GIB)))
    assert failure is not None
    assert "1.5 GiB" in failure.message


def test_a_signal_without_a_name_has_a_number() -> None:
    failure = classify_failure(heard(), ended(exit_code=-(signal.SIGRTMIN + 3)))
    assert failure is not None
    assert failure.code == "CRASHED"
    assert f"signal {signal.SIGRTMIN + 3}" in failure.message


def test_words_without_end_are_cut() -> None:
    told = classify_failure(heard(REFUSAL | {"message": "x" * 10**6}), ended(exit_code=2))
    logged = classify_failure(heard(), ended(exit_code=3, log="y" * 10**5))
    assert told is not None
    assert logged is not None
    assert len(told.message) == len(logged.message) == MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("status", "others"),
    [
        (ended(exit_code=-signal.SIGKILL), True),
        (ended(exit_code=-signal.SIGTERM), True),
        (ended(exit_code=-signal.SIGSEGV), False),
        (ended(exit_code=signal.SIGKILL), False),  # a status of 9 is none
        (CLEAN, False),
        (ended(exit_code=-signal.SIGKILL, oom_kill=True), False),
        (ended(exit_code=-signal.SIGKILL, stopped=Canceled()), False),
    ],
)
def test_only_a_kill_by_somebody_else_is_worth_another_attempt(status: ExitStatus, others: bool) -> None:
    assert killed_by_others(status) == others


# what it says of its work


def test_progress_is_passed_on_with_all_its_fields() -> None:
    log = EventLog()
    assert log.note(AT_LAYER) == {
        "event": "progress",
        "stage": "compress",
        "done": 3,
        "total": 9,
        "layer": "conv1",
        "message": "",
    }
    assert log.progress == Progress(Stage.COMPRESS, 3, 9, "conv1")


def test_layers_are_passed_on_and_the_rest_is_remembered() -> None:
    layer = {"event": "layer", "name": "conv1", "error": 0.5}
    log = EventLog()
    assert log.note(layer) == layer
    assert [log.note(event) for event in (REFUSAL, DONE, {"event": "sandbox", "missing": []})] == [None] * 3
    assert log.done
    assert log.failure is not None


@pytest.mark.parametrize(
    "event",
    [
        {"event": "else"},
        {"event": "progress"},
        {"event": "progress", "stage": "lunch"},
        {"event": "progress", "stage": "compress", "done": "many"},
        {"event": "failure", "code": "CRASHED"},
        {"event": "sandbox"},
        {"event": "sandbox", "missing": "all"},
        {"event": "sandbox", "missing": [1]},
    ],
)
def test_what_is_no_event_of_the_protocol_is_refused(event: dict[str, Any]) -> None:
    log = EventLog()
    with pytest.raises(ValueError, match=r"unknown event|validation error"):
        log.note(event)
    assert (log.progress, log.failure, log.done, log.told_layers) == (None, None, False, None)


def test_a_child_that_did_not_start_ran_without_any_layer() -> None:
    assert EventLog().missing == tuple(LAYERS)


def test_the_launcher_tells_the_layers_and_the_child_cannot_take_it_back() -> None:
    log = heard({"event": "sandbox", "missing": ["network"]}, {"event": "sandbox", "missing": []})
    assert log.missing == ("network",)


@pytest.mark.parametrize("levels", [None, 3, [-1], [1000], ["3"], [True], [0] * 101])
def test_a_child_that_shares_no_levels_is_not_believed(levels: object) -> None:
    assert EventLog().note({"event": "parts", "levels": [3, 0]}) == {"event": "parts", "levels": [3, 0]}
    with pytest.raises(ValueError, match="validation error"):
        heard({"event": "parts", "levels": levels})
