import pytest

from workers.errors import InvalidRecipe, UnmatchedScope
from workers.ir.layers import Layer, MatMulGeometry
from workers.recipe import IgnoredScope
from workers.scope import ignored

LAYERS = [
    Layer(name, kind, (name,), 1, (4, 4), MatMulGeometry(True, False, False))
    for name, kind in [("block1/conv1", "Convolution"), ("block1/conv2", "Convolution"), ("head", "MatMul")]
]


@pytest.mark.parametrize(
    ("scope", "excluded"),
    [
        (IgnoredScope(), []),
        (IgnoredScope(names=("head",)), ["head"]),
        (IgnoredScope(patterns=("block1/.*",)), ["block1/conv1", "block1/conv2"]),
        (IgnoredScope(types=("MatMul",)), ["head"]),
        (IgnoredScope(names=("gone",), validate=False), []),
    ],
)
def test_rules_exclude_what_they_match(scope, excluded):
    assert list(ignored(LAYERS, scope)) == excluded


def test_a_rule_without_a_match_suggests_the_closest_name():
    with pytest.raises(UnmatchedScope, match="did you mean 'block1/conv1'"):
        ignored(LAYERS, IgnoredScope(names=("block1.conv1",)))


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(InvalidRecipe, match="not a regular expression"):
        ignored(LAYERS, IgnoredScope(patterns=("[",)))
