"""The rules of an ignored scope that need only the names and types of operations."""

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches

import re2

from workers.errors import InvalidRecipe
from workers.methods.ignored_scope import IgnoredScope

Operations = Mapping[str, Collection[str]]  # several may go by one name: in the source, where a layer absorbs others
Rule = tuple[str, list[str], str]  # as it is named in messages, the operations it matches, and what may have been meant
PATTERN_BYTES = 1 << 20  # of memory for one compiled pattern
COMPARED = 2000  # names among which a likely one is looked for: comparing takes time, and a rule may come from anybody
LONGEST_COMPARED = 200
HINT = "Patterns are RE2's: without look-around and back-references, so that no pattern takes long."


def plain_rules(scope: IgnoredScope, named: Operations, typed: Operations) -> Iterator[Rule]:
    """All rules but subgraphs, by the operations of each name and of each type. Raises InvalidRecipe for a bad pattern."""
    for name in scope.names:
        yield _rule(f"names: {name!r}", list(named.get(name, ())), name, named)
    for pattern in scope.patterns:
        matches = _compiled(pattern)
        matched = dict.fromkeys(operation for name, found in named.items() if matches(name) for operation in found)
        yield _rule(f"patterns: {pattern!r}", list(matched), pattern, named)
    for kind in scope.types:
        yield _rule(f"types: {kind!r}", list(typed.get(kind, ())), kind, typed)


def meant(rule: str, known: Collection[str]) -> str:
    """The end of a message about a rule that matches nothing."""
    if len(rule) > LONGEST_COMPARED or len(known) > COMPARED:
        return "."
    close = get_close_matches(rule, sorted(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else "."


def _rule(text: str, matched: list[str], wanted: str, known: Collection[str]) -> Rule:
    return text, matched, "" if matched else meant(wanted, known)


def _compiled(pattern: str) -> Callable[[str], object]:
    """A matcher whose time is linear in the name, whatever the pattern."""
    options = re2.Options()
    options.log_errors, options.max_mem = False, PATTERN_BYTES
    try:
        return re2.compile(pattern, options).match  # type: ignore[no-any-return]
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "it cannot be read"
        message = f"ignored_scope.patterns: {pattern!r} is not a regular expression: {reason}."
        raise InvalidRecipe(message, hint=HINT) from error
