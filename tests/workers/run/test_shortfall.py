"""A level of sparsity that no network can come to is told of, with the one that was reached."""

import numpy as np
import pytest

from workers.engine.layer import LayerResult
from workers.ir.graph.layers import Layer, MatMulGeometry
from workers.methods.inq import Inq
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Step
from workers.run.reporting.shortfall import shortfall


def result(kept: int, *steps: Step) -> LayerResult:
    """One of the layers of a hundred weights."""
    weight = np.zeros((1, 10, 10), np.float32)
    weight.flat[:kept] = 1
    layer = Layer("layer", "MatMul", ("layer",), 1, (10, 10), MatMulGeometry(True, False, False))
    return LayerResult(layer, steps, np.ones_like(weight), weight, None, {}, 0.1, 8, {})


@pytest.mark.parametrize(("level", "kept", "said"), [(0.999, 2, True), (0.98, 2, False), (0.5, 50, False), (0.9, 20, True)])
def test_what_was_reached_is_told_where_it_is_less_than_was_asked(level: float, kept: int, said: bool) -> None:
    step, other = LayerwisePruning(sparsity_level=level), Inq(bits=4)
    found = shortfall([step, other], [result(kept, step, other), result(100, other)])
    assert len(found) == said
    assert all(f"{100 - kept} % was reached" in text and f"{100 * level:.4g} %" in text for text in found)


def test_nothing_is_said_of_recipes_that_do_not_prune() -> None:
    step = Inq(bits=4)
    assert shortfall([step], [result(100, step)]) == []


def test_channels_that_save_operations_are_not_held_to_a_share_of_the_weights() -> None:
    step = LayerwisePruning(sparsity_level=0.5, pattern="channel", budget="operations")
    assert shortfall([step], [result(80, step)]) == []


@pytest.mark.parametrize(("pattern", "size"), [("2:4", 4), ("4:8", 8)])
def test_blocks_that_are_not_full_are_told_of(pattern: str, size: int) -> None:
    step = LayerwisePruning.model_validate({"sparsity_level": 0.5, "pattern": pattern})
    (text,) = shortfall([step], [result(60, step)])
    assert text.endswith(
        f"40 % was reached: where input channels are no multiple of {size}, the last block of them has fewer zeros."
    )
