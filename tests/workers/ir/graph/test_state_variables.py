"""Variables of a model as inputs and outputs, and back again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset6 as stateful
import openvino.opset13 as ops
import pytest

from workers.errors import UnsupportedOperation
from workers.ir.graph.interface import name_tensors
from workers.ir.graph.states import States, expose_states, restore_states


def counter(*names: str, start: float | None = None) -> ov.Model:
    """Every variable adds the input to what it holds; the output is the sum of all."""
    x = ops.parameter([1, 2], name="x")
    sinks, total = [], x
    for name in names:
        if start is None:
            read = stateful.read_value(ops.constant(np.zeros((1, 2), np.float32)), name, ov.Type.f32, ov.PartialShape([1, 2]))
        else:
            read = stateful.read_value(
                ops.constant(np.full((1, 2), start, np.float32)), name, ov.Type.f32, ov.PartialShape([1, 2])
            )
        grown = ops.add(read, x, name=f"{name}/grown")
        sinks.append(stateful.assign(grown, name))
        total = ops.add(total, grown)
    total.output(0).set_names({"total"})
    model = ov.Model([ops.result(total)], sinks, [x], "counter")
    name_tensors(model)
    return model


def answers(model: ov.Model, values: Sequence[Any]) -> list[Any]:
    """Of a stateful model, one inference after another."""
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1}).create_infer_request()
    return [request.infer([value])[0].copy() for value in values]


VALUES = [np.array([[1, 10]], np.float32), np.array([[2, 20]], np.float32), np.array([[3, 30]], np.float32)]


def exposed(model: ov.Model) -> tuple[ov.Model, States]:
    found, states = expose_states(model)
    assert states is not None
    return found, states


def test_a_model_without_state_stays_as_it_is() -> None:
    x = ops.parameter([1])
    model = ov.Model([ops.relu(x)], [x])
    assert expose_states(model) == (model, None)


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_variables_become_the_last_inputs_and_outputs_in_the_order_of_their_names(start: float) -> None:
    expected = answers(counter("b", "a", start=start), VALUES)
    model, states = exposed(counter("b", "a", start=start))
    assert [variable.name for variable in states.variables] == ["a", "b"]
    assert [port.get_any_name() for port in model.inputs] == ["x", "state:a", "state:b"]
    assert len(model.outputs) == 3
    assert not model.get_sinks()
    compiled = ov.Core().compile_model(model, "CPU")
    state = states.beginning([(1, 2)])([VALUES[0]])
    np.testing.assert_array_equal(state, np.full((2, 1, 2), start))
    for value, wanted in zip(VALUES, expected, strict=True):
        result = compiled([value, *state])
        np.testing.assert_allclose(result[0], wanted)
        state = [result[1].copy(), result[2].copy()]


def test_a_model_that_was_taken_apart_is_put_together_again() -> None:
    expected = answers(counter("a", "b", start=2), VALUES)
    model, states = exposed(counter("a", "b", start=2))
    restored = restore_states(model, states)
    assert [port.get_any_name() for port in restored.inputs] == ["x"]
    assert [port.get_any_name() for port in restored.outputs] == ["total"]
    assert len(restored.get_sinks()) == 2
    np.testing.assert_allclose(answers(restored, VALUES), expected)


def test_shapes_after_a_reset() -> None:
    _, states = exposed(counter("a"))
    assert states.shapes([(1, 2)]) == [(1, 2)]
    assert [variable.tensor for variable in states.variables] == ["state:a"]


def test_state_that_grows_with_the_batch_begins_in_its_size() -> None:
    x = ops.parameter([-1, 2], name="x")
    read = stateful.read_value(ops.multiply(x, ops.constant(np.float32(0))), "s", ov.Type.f32, ov.PartialShape([-1, 2]))
    grown = ops.add(read, x)
    model = ov.Model([ops.result(grown)], [stateful.assign(grown, "s")], [x], "open")
    name_tensors(model)
    _, states = exposed(model)
    assert states.shapes([(3, 2)]) == [(3, 2)]
    np.testing.assert_array_equal(states.beginning([(3, 2)])([np.ones((3, 2), np.float32)])[0], np.zeros((3, 2)))


def test_state_that_is_written_and_never_read_is_refused() -> None:
    x = ops.parameter([1, 2])
    start = ops.constant(np.zeros((1, 2), np.float32))
    a, b = (stateful.read_value(start, name, ov.Type.f32, ov.PartialShape([1, 2])) for name in "ab")
    model = ov.Model([ops.result(ops.add(ops.add(a, b), x))], [stateful.assign(ops.add(a, x), "a")], [x], "odd")
    with pytest.raises(UnsupportedOperation, match="not read once and written once"):
        expose_states(model)
