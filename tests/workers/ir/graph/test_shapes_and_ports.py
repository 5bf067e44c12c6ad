"""Shapes that are chosen, ports that are kept, and outputs that are called the same."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import UnreadableModel, UnresolvedShape
from workers.ir.graph.interface import interface_of, name_tensors, open_shapes, restore_ports
from workers.ir.graph.probe import alike, draw_values, runner, stack_samples
from workers.ir.graph.shapes import chosen_shapes, set_batch, set_shapes


def named(node: Any) -> Any:
    """An operation whose tensor is called as it is."""
    node.output(0).set_names({node.friendly_name})
    return node


def model_of(*shapes: Any, kind: str = "f32") -> ov.Model:
    """Inputs x0, x1, ..., each with a relu of its own."""
    inputs = [ops.parameter(shape, getattr(ov.Type, kind), name=f"x{number}") for number, shape in enumerate(shapes)]
    model = ov.Model([named(ops.relu(node, name=f"y{number}")) for number, node in enumerate(inputs)], inputs)
    name_tensors(model)
    return model


def chosen(shape: Any, given: dict[str, tuple[int, ...]] | None = None) -> list[tuple[int, ...]]:
    return chosen_shapes(model_of(shape).inputs, given or {})


# shapes


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ([1, 3], {}, (1, 3)),
        ([-1, 3], {}, (1, 3)),  # an open first axis counts as one
        ([ov.Dimension(4, 9), 3], {}, (4, 3)),  # or as the least that it may be
        ([-1, 3], {"x0": (5, 3)}, (5, 3)),
        ([-1, -1], {"x0": (2, 7)}, (2, 7)),
        ([-1, -1], {"": (2, 7)}, (2, 7)),
        ([], {}, ()),
    ],
)
def test_the_shape_of_an_input(shape: Any, given: dict[str, tuple[int, ...]], expected: tuple[int, ...]) -> None:
    assert chosen(shape, given) == [expected]


def test_any_rank_is_taken_where_the_source_leaves_it_open() -> None:
    assert chosen(ov.PartialShape.dynamic(), {"x0": (1, 2, 3)}) == [(1, 2, 3)]


@pytest.mark.parametrize(
    ("shape", "given", "words"),
    [
        ([1, -1], {}, "shape of input 'x0' is open"),
        (ov.PartialShape.dynamic(), {}, "is open"),
        ([0, 3], {}, "'x0' is empty"),
        ([-1, 3], {"x0": (0, 3)}, r"\[0, 3\] does not fit input 'x0'"),
        ([-1, 3], {"x0": (-1, 3)}, "does not fit"),
        ([-1, 3], {"x0": (1, 3, 1)}, "does not fit"),
        ([-1, 3], {"image": (1, 3)}, "no input image; its inputs are x0"),
    ],
)
def test_shapes_that_cannot_be_are_refused(shape: Any, given: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(UnresolvedShape, match=words):
        chosen(shape, given)


@pytest.mark.parametrize(
    ("shape", "example"), [([-1, 3, -1, -1], "x0[1,3,224,224]"), ([-1, -1], "x0[1,128]"), ([2, 3, -1], "x0[2,3,128]")]
)
def test_the_remedy_is_an_example_that_would_do(shape: list[int], example: str) -> None:
    with pytest.raises(UnresolvedShape) as refused:
        chosen(shape)
    assert example in refused.value.hint
    lengths = tuple(map(int, example.partition("[")[2].rstrip("]").split(",")))
    assert chosen(shape, {"x0": lengths}) == [lengths]


def test_an_input_has_the_shape_of_any_of_its_names() -> None:
    model = model_of([-1, -1], [2, 2])
    model.inputs[0].set_names({"first", "alias"})
    assert chosen_shapes(model.inputs, {"alias": (1, 9)}) == [(1, 9), (2, 2)]
    with pytest.raises(UnresolvedShape, match="no input"):  # without a name, and of two
        chosen_shapes(model.inputs, {"": (1, 9)})


def test_shapes_that_do_not_go_together_are_refused_in_plain_words() -> None:
    first, second = ops.parameter([-1, 3]), ops.parameter([-1, 3])
    model = ov.Model([ops.concat([first, second], 1)], [first, second])
    set_shapes(model, [(2, 3), (2, 3)])
    assert model.output(0).shape == [2, 6]
    with pytest.raises(UnresolvedShape, match="do not fit the model") as refused:
        set_shapes(model, [(2, 3), (4, 3)])
    assert ".cpp" not in refused.value.message


def test_the_batch_of_some_inputs_is_set_and_opened() -> None:
    model = model_of([1, 3], [1, 3])
    set_batch(model, ["x1"], 7)
    assert [list(port.shape) for port in model.inputs] == [[1, 3], [7, 3]]
    set_batch(model, ["x0", "x1"], -1)
    assert [port.get_partial_shape()[0].is_dynamic for port in model.outputs] == [True, True]


# ports


def test_names_that_there_are_stay() -> None:
    model = model_of([4])
    model.output(0).set_names({"kept", "alias"})
    name_tensors(model)
    assert model.output(0).get_names() == {"kept", "alias"}
    assert interface_of(model).outputs[0].name == "alias"  # no name of the operation: the first of the alphabet


def test_types_of_double_precision_come_back() -> None:
    source = model_of([2, 3], kind="f64")
    wanted = interface_of(source)
    computed = model_of([2, 3])
    restore_ports(computed, wanted)
    assert interface_of(computed) == wanted
    value = np.array([[1.5, -2, 3], [0, 1e-3, -1]])
    np.testing.assert_allclose(runner(computed)([value])[0], np.maximum(value, 0), rtol=1e-6)


def test_two_outputs_that_became_one_tensor_are_told_apart() -> None:
    x = ops.parameter([3], name="x")
    first, second = named(ops.relu(x, name="a")), named(ops.relu(x, name="b"))
    source = ov.Model([first, second], [x])
    name_tensors(source)
    wanted = interface_of(source)
    merged = source.clone()
    results = merged.get_results()
    results[1].input(0).replace_source_output(results[0].input_value(0))
    merged.validate_nodes_and_infer_types()
    restore_ports(merged, wanted)
    assert interface_of(merged) == wanted
    value = np.array([-1, 0, 2], np.float32)
    for output in runner(merged)([value]):
        np.testing.assert_array_equal(output, [0, 0, 2])


def test_an_output_that_is_an_input_keeps_both_names() -> None:
    x = ops.parameter([3], name="x")
    source = ov.Model([named(ops.convert(x, "f32", name="same"))], [x])
    name_tensors(source)
    wanted = interface_of(source)
    y = ops.parameter([3], name="x")
    passing = ov.Model([ops.result(y)], [y])
    restore_ports(passing, wanted)
    assert interface_of(passing) == wanted


def test_open_axes_are_opened_again() -> None:
    wanted = interface_of(model_of([-1, 3, ov.Dimension(2, 8)]))
    assert wanted.inputs[0].open_axes == (0, 2)
    model = model_of([1, 3, 4])
    open_shapes(model, wanted)
    assert model.input(0).get_partial_shape() == wanted.inputs[0].shape
    assert interface_of(model_of(ov.PartialShape.dynamic())).inputs[0].open_axes == ()


# the same outputs


def test_rounding_is_no_difference_and_anything_more_is() -> None:
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    assert alike([values], [values * np.float32(1 + 5e-4)])
    assert not alike([values], [values * np.float32(1 + 5e-3)])
    assert not alike([values], [values[:99]])
    assert not alike([values], [values, values])
    assert not alike([values], [values.reshape(10, 10)])
    assert alike([], [])


def test_half_precision_is_measured_by_its_own_steps() -> None:
    values = np.random.default_rng(0).normal(size=100)
    assert alike([values.astype(np.float16)], [(values * (1 + 5e-3)).astype(np.float16)])


def test_what_is_not_finite_must_be_so_in_both() -> None:
    values = np.array([1, np.inf, np.nan, -np.inf])
    assert alike([values], [values])
    assert not alike([values], [np.array([1, 2, np.nan, -np.inf])])


def test_silence_is_like_silence_only() -> None:
    assert alike([np.zeros(3)], [np.zeros(3)])
    assert not alike([np.zeros(3)], [np.full(3, 1e-3)])


@pytest.mark.parametrize(("wrong", "same"), [(0, True), (10, True), (11, False)])
def test_a_tenth_of_the_decisions_may_differ(wrong: int, same: bool) -> None:
    first = np.arange(100)
    second = first.copy()
    second[:wrong] += 1
    assert alike([first], [second]) == same


@given(st.integers(-5, 5), st.integers(0, 5))
def test_drawn_integers_lie_within_their_bounds_and_reach_both(low: int, span: int) -> None:
    drawn = draw_values((500,), np.dtype(np.int32), (low, low + span), np.random.default_rng(0))
    assert (drawn.min(), drawn.max(), drawn.dtype) == (low, low + span, np.int32)


def test_samples_are_stacked_along_their_axes() -> None:
    samples = [[np.full((1, 2), n), np.full((2, 1), n), np.full(3, n)] for n in range(3)]
    first, second, third = stack_samples(samples, {0: 0, 1: 1, 2: None})
    assert (first.shape, second.shape) == ((3, 2), (2, 3))
    assert first[:, 0].tolist() == second[0].tolist() == [0, 1, 2]
    assert third.tolist() == [0, 0, 0]


def test_a_model_that_cannot_run_is_refused() -> None:
    run = runner(model_of([2, 3]))
    with pytest.raises(UnreadableModel, match="OpenVINO cannot run the model"):
        run([np.zeros((4, 5), np.float32)])
