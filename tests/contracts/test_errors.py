"""The error tree: one stable code each, a sentence, a remedy, and a drawing that is true."""

import re

import pytest

from service.terminal import exit_codes
from workers import errors
from workers.errors import FractuneError, Refusal


def family(kind: type[FractuneError]) -> list[type[FractuneError]]:
    """`kind` and all below it, depth first."""
    return [kind, *(member for child in kind.__subclasses__() for member in family(child))]


TREE = [kind for kind in family(FractuneError) if kind.__module__ == errors.__name__]
LEAVES = [kind for kind in TREE if not kind.__subclasses__()]


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in LEAVES}) == len(LEAVES)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_an_error_has_a_sentence_and_a_remedy_of_its_own(kind: type[FractuneError]) -> None:
    error = kind()
    assert re.fullmatch(r"[A-Z].*\.", error.message)
    assert "hint" in vars(kind)
    assert re.fullmatch(r"[A-Z].*", error.hint)


def test_the_drawing_is_the_tree() -> None:
    drawn = re.findall(r"(\w+) +([A-Z_]{4,})", errors.__doc__ or "")
    assert dict(drawn) == {kind.__name__: kind.code for kind in LEAVES}


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_only_refusals_exit_with_2(kind: type[FractuneError]) -> None:
    assert (exit_codes.of_failure(kind.code) == 2) == issubclass(kind, Refusal)
