"""Cutting a stream of bytes into events and a log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.worker.sandbox import streams
from workers.worker.sandbox.streams import Events, Log, strict_json


def ignore(note: str) -> None:
    pass


@given(st.lists(st.text(), max_size=8), st.lists(st.integers(1, 40), max_size=20))
def test_events_do_not_depend_on_how_the_pipe_cuts_them(texts: list[str], cuts: list[int]) -> None:
    said = [{"event": "layer", "name": text} for text in texts]
    data = b"".join(json.dumps(event).encode() + b"\n" for event in said)
    events = Events(ignore)
    heard: list[streams.Event] = []
    for cut in cuts:
        heard += events.feed(data[:cut])
        data = data[cut:]
    assert heard + events.feed(data) == said


@pytest.mark.parametrize(
    "line",
    [b"text", b"[1]", b'{"event": 1}', b'{"no": "event"}', b'{"event": "x", "a": Infinity}']
    + [b'{"event": "x", "a": 1e999}', b'{"event": "failure", "message": "half a character: \\ud83d"}'],
)
def test_a_line_that_is_no_event_is_noted(line: bytes) -> None:
    notes: list[str] = []
    assert Events(notes.append).feed(line + b"\n") == []
    assert len(notes) == 1


def test_a_line_without_end_is_a_flood() -> None:
    events = Events(ignore)
    events.feed(b"x" * streams.LINE_BYTES)
    assert not events.flooded
    events.feed(b"x")
    assert events.flooded


def test_many_events_are_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "OUTPUT_BYTES", 100)
    events = Events(ignore)
    events.feed(b"\n" * 101)
    assert events.flooded


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30))
def test_a_log_that_fits_is_whole(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    log = Log(path)
    for part in parts:
        log.feed(part)
    log.close()
    assert path.read_bytes() == b"".join(parts)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30))
def test_a_log_that_does_not_fit_keeps_its_ends(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    whole = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "LOG_BYTES", 40)
        patch.setattr(streams, "TAIL_BYTES", 20)
        log = Log(path)
        for part in parts:
            log.feed(part)
        log.close()
    kept = path.read_bytes()
    assert kept.startswith(whole[:40])
    assert kept.endswith(whole[-20:])


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"😀"', "[1e308, null]", '{"a": "\\u0000"}'])
def test_json_of_a_child_is_what_others_can_write_again(text: str) -> None:
    assert strict_json(text) == json.loads(text)
    json.dumps(strict_json(text.encode()), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1e999", '{"\\udc00": 1}', '["\\ud800"]', "", "{'a': 1}"])
def test_json_that_would_break_whoever_shows_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json(text)
