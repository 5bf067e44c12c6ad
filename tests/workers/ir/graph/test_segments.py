import gc
from typing import Any
from weakref import ref

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from tests.workers.ir.tiny import named
from workers.ir.graph.frontier import ENDING_TOGETHER, EXACT, Compilations, advance_frontier, enter_frontier
from workers.ir.graph.layers import find_layers
from workers.ir.graph.segments import cut

COMPILATIONS = Compilations(threads=1)


def network() -> ov.Model:
    """Two layers on one input, a third on their sum, and a skip connection over all of them."""
    rng = np.random.default_rng(0)

    def layer(x: Any) -> Any:
        return ops.matmul(x, ops.constant(rng.normal(size=(6, 6)).astype(np.float32)), False, False)

    x = ops.parameter([2, 6])
    left, right = ops.relu(layer(x)), ops.tanh(layer(x))
    deep = layer(ops.add(left, right))
    model = ov.Model([ops.result(ops.relu(ops.add(deep, ops.exp(x))))], [x])
    return named(model)


def test_layers_that_do_not_wait_for_one_another_share_a_phase() -> None:
    model = network()
    nodes = [layer.name for layer in find_layers(model)[0]]
    parts = cut(model, nodes)
    assert [parts.phases[node] for node in nodes] == [1, 1, 2]
    assert len(parts.segments) == 3


def test_segments_run_in_turn_compute_what_the_model_computes() -> None:
    model = network()
    values = [np.random.default_rng(n).normal(size=(2, 6)).astype(np.float32) for n in range(3)]
    nodes = [layer.name for layer in find_layers(model)[0]]
    (last,) = (value.get_node() for value in model.get_results()[0].input_values())
    tap = (last.friendly_name, 0)
    whole = ov.Core().compile_model(model, "CPU", EXACT)
    expected = [whole(value)[0] for value in values]
    parts = cut(model.clone(), nodes, exposed=[tap])
    frontier = [{(model.get_parameters()[0].friendly_name, 0): value} for value in values]
    seen: dict[int, Any] = {}
    for phase in range(len(parts.segments)):
        for number, batch in enumerate(advance_frontier(parts, phase, frontier, COMPILATIONS)):
            seen[number] = np.array(batch[tap]) if tap in batch else None
    for number, value in enumerate(expected):
        np.testing.assert_allclose(seen[number], value, rtol=1e-5, atol=1e-6)


def test_the_frontier_forgets_what_nobody_reads_any_more() -> None:
    model = network()
    parts = cut(model, [layer.name for layer in find_layers(model)[0]])
    (entrance,) = parts.segments[0].inputs
    frontier = [{entrance: np.zeros((2, 6), np.float32)}]
    for _ in advance_frontier(parts, 0, frontier, COMPILATIONS):
        assert entrance in frontier[0]
    held = sum(value.nbytes for value in frontier[0].values())
    assert held == parts.held[0] > 0
    for _ in advance_frontier(parts, 1, frontier, COMPILATIONS):
        pass
    assert entrance not in frontier[0]
    assert sum(value.nbytes for value in frontier[0].values()) == parts.held[1]


def test_batches_that_enter_late_have_passed_what_the_others_passed() -> None:
    model = network()
    nodes = [layer.name for layer in find_layers(model)[0]]
    parts = cut(model.clone(), nodes)
    batches = [{parts.segments[0].inputs[0]: np.random.default_rng(n).normal(size=(2, 6)).astype(np.float32)} for n in range(3)]
    early = list(enter_frontier(model, parts, 1, batches, COMPILATIONS))
    for _ in advance_frontier(parts, 1, early, COMPILATIONS):
        pass
    for one, other in zip(early, enter_frontier(model, parts, 2, batches, COMPILATIONS), strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_allclose(one[key], other[key], rtol=1e-5, atol=1e-6)


def test_compilations_end_together() -> None:
    model = network()
    segment = cut(model, [layer.name for layer in find_layers(model)[0]]).segments[1]
    compilations = Compilations(threads=1)
    made = [ref(compilations.runner(segment).compiled) for _ in range(ENDING_TOGETHER)]
    assert all(compiled() is not None for compiled in made)
    compilations.runner(segment)
    gc.collect()
    assert all(compiled() is None for compiled in made)


def images() -> ov.Model:
    """Two convolutions with a skip connection over the second, a mean, and a product."""
    rng = np.random.default_rng(0)

    def constant(*shape: int) -> Any:
        return ops.constant(rng.normal(size=shape).astype(np.float32))

    def convolution(x: Any, channels: int) -> Any:
        return ops.convolution(x, constant(channels, channels, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])

    x = ops.parameter([2, 3, 5, 4])
    first = ops.relu(ops.add(convolution(x, 3), constant(1, 3, 1, 1)))
    second = ops.add(convolution(first, 3), first)
    mean = ops.reduce_mean(second, ops.constant([2, 3]), False)
    return named(ov.Model([ops.result(ops.matmul(mean, constant(3, 2), False, False))], [x]))


def test_images_lie_with_their_channels_last_between_segments_and_are_shaped_as_in_the_model() -> None:
    model = images()
    nodes = [layer.name for layer in find_layers(model)[0]]
    expected = ov.Core().compile_model(model, "CPU", EXACT)(np.ones((2, 3, 5, 4), np.float32))[0]
    (result,) = (value.get_node().friendly_name for value in model.get_results()[0].input_values())
    parts = cut(model, nodes, exposed=[(result, 0)])
    frontier = [{parts.segments[0].inputs[0]: np.ones((2, 3, 5, 4), np.float32)}]
    crossed = 0
    for phase in range(len(parts.segments)):
        for batch in advance_frontier(parts, phase, frontier, COMPILATIONS):
            found = batch.get((result, 0))
        for value in frontier[0].values():
            if value.ndim == 4 and phase:
                crossed += 1
                assert value.shape[:2] == (2, 3)
                assert np.moveaxis(value, 1, -1).flags.c_contiguous
    assert crossed
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-5)
