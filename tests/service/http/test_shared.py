"""Answers that many share: asked for once, and never older than what was written."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from service.access.authentication import Recognition, issue
from service.http.shared import Current
from workers.errors import NotFound, Unauthenticated
from workers.jobs.records import Role
from workers.jobs.store import Store


class Counted:
    """Says the same again, and how often it was asked."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self.answer, self.times = answer, 0

    def __call__(self, name: str) -> object:
        self.times += 1
        return self.answer()


def test_many_who_ask_at_a_time_ask_once() -> None:
    asked = Counted(lambda: 7)
    current = Current(lambda: 1, asked)

    async def many() -> list[object]:
        return list(await asyncio.gather(*(current("job") for _ in range(50))))

    assert (asyncio.run(many()), asked.times) == ([7] * 50, 1)


def test_whoever_writes_makes_it_ask_again() -> None:
    version, asked = 1, Counted(lambda: version)
    current = Current(lambda: version, asked)

    async def twice() -> list[object]:
        nonlocal version
        before = await current("job")
        version = 2
        return [before, await current("job")]

    assert asyncio.run(twice()) == [1, 2]


def test_where_writing_is_not_told_everybody_asks() -> None:
    asked = Counted(lambda: 7)

    async def thrice() -> None:
        current = Current(lambda: None, asked)
        for _ in range(3):
            await current("job")

    asyncio.run(thrice())
    assert asked.times == 3


def test_an_error_is_shared_too() -> None:
    def absent() -> object:
        raise NotFound("There is no job.")

    async def both() -> list[BaseException | object]:
        current = Current(lambda: 1, Counted(absent))
        return list(await asyncio.gather(current("job"), current("job"), return_exceptions=True))

    assert [type(each) for each in asyncio.run(both())] == [NotFound, NotFound]


def test_another_process_that_writes_changes_the_version(tmp_path: Path) -> None:
    ours, other = (Store(f"sqlite:///{tmp_path}/fractune.db") for _ in range(2))
    ours.migrate()
    before = ours.version()
    assert ours.version() == before
    key, _ = issue(other, "ci", Role.VIEWER, "test")
    added = ours.version()
    other.keys.revoke(key.id)
    assert None is not before != added != ours.version()
    for store in (ours, other):
        store.close()


def test_a_key_that_another_process_revokes_opens_nothing_from_then_on(tmp_path: Path) -> None:
    ours, other = (Store(f"sqlite:///{tmp_path}/fractune.db") for _ in range(2))
    ours.migrate()
    key, text = issue(ours, "ci", Role.VIEWER, "test")
    recognition = Recognition(ours)

    async def before_and_after() -> None:
        assert {(await recognition.key(text)).id for _ in range(3)} == {key.id}
        other.keys.revoke(key.id)
        with pytest.raises(Unauthenticated):
            await recognition.key(text)

    asyncio.run(before_and_after())
    for store in (ours, other):
        store.close()
