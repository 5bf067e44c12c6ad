from typing import Any

import openvino as ov
import openvino.opset13 as ops
import pytest

from workers.errors import InvalidRecipe, UnmatchedScope
from workers.ir.graph.ignored_scope import excluded_operations
from workers.methods.ignored_scope import IgnoredScope, Subgraph
from workers.recipe.scope_matching import plain_rules


@pytest.fixture
def model() -> ov.Model:
    """data -> block1/relu1 -> block1/tanh -> block1/relu2 -> head, and block1/skip beside them from relu1 to head."""
    data = ops.parameter([1, 4], name="data")
    first = ops.relu(data, name="block1/relu1")
    middle = ops.tanh(first, name="block1/tanh")
    last = ops.relu(middle, name="block1/relu2")
    skip = ops.sigmoid(first, name="block1/skip")
    head = ops.add(last, skip, name="head")
    return ov.Model([ops.result(head)], [data])


@pytest.mark.parametrize(
    ("scope", "excluded"),
    [
        (IgnoredScope(), set()),
        (IgnoredScope(names=("head",)), {"head"}),
        (IgnoredScope(patterns=("block1/relu",)), {"block1/relu1", "block1/relu2"}),
        (IgnoredScope(patterns=("relu",), validate=False), set()),
        (IgnoredScope(types=("Relu", "Add")), {"block1/relu1", "block1/relu2", "head"}),
        (IgnoredScope(names=("gone",), validate=False), set()),
        (
            IgnoredScope(subgraphs=(Subgraph(inputs=("block1/tanh",), outputs=("head",)),)),
            {"block1/tanh", "block1/relu2", "head"},
        ),
        (
            IgnoredScope(subgraphs=(Subgraph(inputs=("block1/relu1",), outputs=("head",)),)),
            {"block1/relu1", "block1/tanh", "block1/relu2", "block1/skip", "head"},
        ),
    ],
)
def test_rules_exclude_what_they_match(model: ov.Model, scope: IgnoredScope, excluded: Any) -> None:
    assert set(excluded_operations(model, scope)) == excluded


def test_the_first_rule_that_matches_is_named(model: ov.Model) -> None:
    scope = IgnoredScope(names=("head",), types=("Add",))
    assert excluded_operations(model, scope) == {"head": "ignored_scope.names: 'head'"}


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        (IgnoredScope(names=("block1.relu1",)), "block1/relu1"),
        (IgnoredScope(patterns=("skip",)), "block1/skip"),
        (IgnoredScope(types=("ReLU",)), "Relu"),
        (IgnoredScope(subgraphs=(Subgraph(inputs=("block1/tan",), outputs=("head",)),)), "block1/tanh"),
    ],
)
def test_a_rule_without_a_match_suggests_the_closest(model: ov.Model, scope: IgnoredScope, meant: str) -> None:
    with pytest.raises(UnmatchedScope, match=f"did you mean '{meant}'"):
        excluded_operations(model, scope)


def test_a_subgraph_against_the_flow_matches_nothing(model: ov.Model) -> None:
    with pytest.raises(UnmatchedScope, match=r"\['head'\] to \['block1/tanh'\] matches no operation\."):
        excluded_operations(model, IgnoredScope(subgraphs=(Subgraph(inputs=("head",), outputs=("block1/tanh",)),)))


def test_a_pattern_that_is_no_regular_expression_is_refused(model: ov.Model) -> None:
    with pytest.raises(InvalidRecipe, match="not a regular expression"):
        excluded_operations(model, IgnoredScope(patterns=("[",)))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    names = {"a" * 2000: ["a" * 2000], "b": ["b"]}
    rules = list(plain_rules(IgnoredScope(patterns=(pattern,)), names, {}))
    assert len(rules) == 1  # with a backtracking engine the suite would end here


@pytest.mark.parametrize("pattern", ["(?=head)", r"(a)\1", "((a{1,1000}){1,1000}){1,1000}"])
def test_what_would_need_backtracking_is_refused(model: ov.Model, pattern: str) -> None:
    with pytest.raises(InvalidRecipe, match="not a regular expression") as refusal:
        excluded_operations(model, IgnoredScope(patterns=(pattern,)))
    assert "RE2" in refusal.value.hint
