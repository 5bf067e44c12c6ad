"""What a layer cost and saved."""

import numpy as np
import pytest

from tests.workers.engine.test_sequential import residual_network
from workers.allocation.error_attribution import next_run, ranks, saved_times, shares
from workers.engine.layer import LayerResult
from workers.ir.graph.layers import find_layers
from workers.methods.inq import Inq
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.problem import Method, Step
from workers.methods.uniform import Uniform
from workers.report import LayerProfile, LayerReport


def layer(name: str, share: float, original: int, left: int) -> LayerReport:
    return LayerReport(
        name=name,
        type="Convolution",
        method="inq",
        shape=(8, 8),
        weights=64,
        sparsity=0.0,
        relative_error=share,
        samples=64,
        bits=4.0,
        bytes=left,
        original_bytes=original,
        encoding="u4",
        error_share=share,
    )


def test_the_next_run_spares_what_harms_most_per_byte() -> None:
    layers = [layer("small", 0.4, 100, 20), layer("large", 0.4, 10_000, 2_000), layer("harmless", 0.2, 10_000, 2_000)]
    assert next_run(layers) is None, "half of the error costs half of the gain"
    advice = next_run([layer("small", 0.6, 100, 20), *layers[1:]])
    assert advice.ignored_scope == {"names": ("small",)}
    assert (advice.error_share, advice.bytes_given_up) == (0.6, 80)


def test_the_next_run_presses_less_hard_on_them_by_a_block_that_can_be_pasted() -> None:
    layers = [layer("a", 0.3, 100, 20), layer("b", 0.3, 100, 20), layer("c", 0.4, 10_000, 2_000)]
    advice = next_run(layers, {"a": (1, ("bits", 4)), "b": (1, ("bits", 3)), "c": (1, ("bits", 3))})
    assert advice
    assert advice.step == 1
    pasted = Uniform.model_validate({"bits": 2, "layers": advice.layers})
    assert [pasted.set_for(block).bits for block in pasted.layers] == [4, 3]
    assert [block.scope.names for block in pasted.layers] == [("a",), ("b",)]
    without = next_run(layers, {"a": (1, ("bits", 4))})
    assert without
    assert (without.step, without.layers) == (None, ())


@pytest.mark.parametrize(
    ("step", "milder"),
    [
        (Uniform(bits=3), ("bits", 4)),
        (Uniform(bits=8), None),
        (Inq(bits=2), ("bits", 3)),
        (Mcq(), None),
        (LayerwisePruning(sparsity_level=0.65), ("sparsity_level", 0.5)),
    ],
)
def test_one_step_milder_is_what_a_search_would_try(step: Method, milder: tuple[str, float] | None) -> None:
    assert step.milder() == milder


def test_no_advice_to_leave_everything_alone() -> None:
    assert next_run([layer("only", 1.0, 100, 20)]) is None
    assert next_run([]) is None


def test_ranks_begin_with_the_largest_share() -> None:
    assert ranks({"a": 0.2, "b": 0.7, "c": 0.1}) == {"b": 1, "a": 2, "c": 3}


def test_times_are_saved_where_both_models_have_the_operation() -> None:
    rows = [
        LayerProfile(name="a", type="Convolution", original_ms=2.0, compressed_ms=0.5, kernel="u8"),
        LayerProfile(name="b", type="Convolution", original_ms=2.0, compressed_ms=None, kernel="u8"),
    ]
    assert saved_times(rows) == {"a": 1.5}


def test_int8_alone_leaves_no_shares_to_tell() -> None:
    weight = np.ones((1, 2, 3), np.float32)
    known = find_layers(residual_network())[0][0]

    def result(*steps: Step) -> LayerResult:
        return LayerResult(known, steps, weight, weight, None, {}, 0.25, 8, {})

    assert shares([result(Int8())], {}) == {}
    assert shares([result(Uniform(bits=3), Int8())], {}) == {known.name: 1.0}
