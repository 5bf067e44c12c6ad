"""Which operations a recipe leaves alone: NNCF's `ignored_scope`, with a suggestion where a rule matches nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import openvino as ov

from workers.errors import UnmatchedScope
from workers.ir.graph.origins import Origin
from workers.methods.ignored_scope import IgnoredScope, Subgraph
from workers.recipe.scope_matching import Rule, meant, plain_rules

UNKNOWN: Mapping[str, Origin] = {}
Found = dict[str, ov.Node]  # operations by name


def excluded_operations(model: ov.Model, scope: IgnoredScope, origins: Mapping[str, Origin] = UNKNOWN) -> dict[str, str]:
    """The rule that excludes an operation, by the operation's name, in topological order for every rule.

    `origins` gives what operations were called in the source: these names and types select them as well. Raises
    UnmatchedScope for a rule that matches no operation, unless `validate` is off, and InvalidRecipe for a bad pattern.
    """
    operations = {node.friendly_name: node for node in model.get_ordered_ops() if node.get_type_name() not in SILENT}
    excluded: dict[str, str] = {}
    for rule, matched, suggestion in _rules(scope, operations, origins):
        if not matched and scope.validate_:
            raise UnmatchedScope(f"ignored_scope.{rule} matches no operation{suggestion}")
        excluded = dict.fromkeys(matched, f"ignored_scope.{rule}") | excluded
    return excluded


SILENT = {"Constant", "Result"}  # no operations in the sense of a scope


def _rules(scope: IgnoredScope, operations: Found, origins: Mapping[str, Origin]) -> Iterator[Rule]:
    named, typed = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for operation, node in operations.items():
        origin = origins.get(operation, Origin())
        for name in dict.fromkeys((operation, *origin.names)):
            named[name].append(operation)
        for kind in dict.fromkeys((node.get_type_name(), *origin.types)):
            typed[kind].append(operation)
    yield from plain_rules(scope, named, typed)
    for subgraph in scope.subgraphs:
        yield _between(subgraph, operations, named)


def _between(subgraph: Subgraph, operations: Found, named: Mapping[str, list[str]]) -> Rule:
    """All operations on a path from one of the inputs to one of the outputs."""
    rule = f"subgraphs: {list(subgraph.inputs)} to {list(subgraph.outputs)}"
    unknown = [name for name in (*subgraph.inputs, *subgraph.outputs) if name not in named]
    if unknown:
        return rule, [], meant(unknown[0], named)
    after = _reached([operation for name in subgraph.inputs for operation in named[name]], operations, _users)
    before = _reached([operation for name in subgraph.outputs for operation in named[name]], operations, _sources)
    return rule, [name for name in operations if name in after and name in before], "."


def _reached(names: Iterable[str], operations: Found, step: Callable[[ov.Node], list[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached and name in operations:
            reached.add(name)
            waiting += step(operations[name])
    return reached


def _users(node: ov.Node) -> list[str]:
    return [user.get_node().friendly_name for port in node.outputs() for user in port.get_target_inputs()]


def _sources(node: ov.Node) -> list[str]:
    return [value.get_node().friendly_name for value in node.input_values()]
