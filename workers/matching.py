"""The rules of an ignored scope that need only the names and types of operations."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches

from workers.errors import InvalidRecipe
from workers.methods.ignored_scope import IgnoredScope

Rule = tuple[str, list[str], str]  # as it is named in messages, the operations it matches, and what may have been meant


def plain_rules(scope: IgnoredScope, operations: Mapping[str, str]) -> Iterator[Rule]:
    """All rules but subgraphs; `operations` gives types by name. Raises InvalidRecipe for a bad pattern."""
    for name in scope.names:
        yield f"names: {name!r}", [name] if name in operations else [], meant(name, operations)
    for pattern in scope.patterns:
        matches = _compiled(pattern)
        yield f"patterns: {pattern!r}", [name for name in operations if matches(name)], meant(pattern, operations)
    for kind in scope.types:
        matched = [name for name, found in operations.items() if found == kind]
        yield f"types: {kind!r}", matched, meant(kind, set(operations.values()))


def meant(rule: str, known: Iterable[str]) -> str:
    """The end of a message about a rule that matches nothing."""
    close = get_close_matches(rule, sorted(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else "."


def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    try:
        return re.compile(pattern).match
    except re.error as error:
        raise InvalidRecipe(f"ignored_scope.patterns: {pattern!r} is not a regular expression: {error}.") from error
