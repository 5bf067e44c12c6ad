"""Which layers a recipe leaves alone: NNCF's `ignored_scope`, with a suggestion where a rule matches nothing."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from workers.errors import InvalidRecipe, UnmatchedScope
from workers.ir.layers import Layer
from workers.recipe import IgnoredScope


def ignored(layers: Iterable[Layer], scope: IgnoredScope) -> dict[str, str]:
    """The rule that excludes a layer, by layer name.

    Raises UnmatchedScope for a rule that matches no layer, unless `validate` is off, and InvalidRecipe for a bad pattern.
    """
    by_name = {name: layer for layer in layers for name in layer.nodes}
    excluded: dict[str, str] = {}
    for kind, rule in _rules(scope):
        matched = [layer.name for name, layer in by_name.items() if _matches(kind, rule, name, layer)]
        if not matched and scope.validate_:
            raise UnmatchedScope(_unmatched(kind, rule, by_name))
        excluded |= {name: f"ignored_scope.{kind}: {rule}" for name in matched}
    return excluded


def _rules(scope: IgnoredScope) -> list[tuple[str, str]]:
    named = {"names": scope.names, "patterns": scope.patterns, "types": scope.types}
    return [(kind, rule) for kind, rules in named.items() for rule in rules]


def _matches(kind: str, rule: str, name: str, layer: Layer) -> bool:
    if kind == "patterns":
        try:
            return re.fullmatch(rule, name) is not None
        except re.error as error:
            raise InvalidRecipe(f"ignored_scope.patterns: {rule!r} is not a regular expression: {error}.") from error
    return rule == (name if kind == "names" else layer.type)


def _unmatched(kind: str, rule: str, by_name: dict[str, Layer]) -> str:
    known = {layer.type for layer in by_name.values()} if kind == "types" else set(by_name)
    close = get_close_matches(rule, sorted(known), n=1, cutoff=0.4)
    suggestion = f"; did you mean {close[0]!r}?" if close else "."
    return f"ignored_scope.{kind}: {rule!r} matches no layer{suggestion}"
