"""Variables that a model keeps from one inference to the next: inputs and outputs while it is compressed, and state again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset6 as stateful
import openvino.opset13 as ops

from workers.errors import UnsupportedOperation
from workers.ir.graph.probe import Values, runner
from workers.ir.graph.shapes import Shape, set_shapes


@dataclass(frozen=True, slots=True)
class StateVariable:
    """What a ReadValue reads and an Assign writes."""

    name: str
    type: ov.Type
    shape: ov.PartialShape

    @property
    def tensor(self) -> str:
        """The name of the input, and of the output, that stand for it."""
        return f"state:{self.name}"


@dataclass(frozen=True, slots=True)
class States:
    """The variables of a model, by name, and how they begin."""

    variables: tuple[StateVariable, ...]
    initial: ov.Model  # from the inputs of the model, in order, to the value of each variable after a reset

    def beginning(self, inputs: Sequence[Shape]) -> Callable[[Sequence[Values]], list[Values]]:
        """A function from values of the model's own inputs, of these shapes, to those of the variables after a reset."""
        model = self.initial.clone()
        set_shapes(model, inputs)
        return runner(model)

    def shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        """The shapes after a reset, where the model's own inputs have these; lengths that values decide are those of ones."""
        model = self.initial.clone()
        set_shapes(model, inputs)
        found = [port.get_partial_shape() for port in model.outputs]
        if all(shape.is_static for shape in found):
            return [tuple(shape.to_shape()) for shape in found]
        ones = [np.ones(port.shape, port.get_element_type().to_dtype()) for port in model.inputs]
        return [value.shape for value in runner(model)(ones)]


def expose_states(model: ov.Model) -> tuple[ov.Model, States | None]:
    """The model with variables as its last inputs and outputs, in the order of their names, and what they were.

    `model` is consumed if it has any. Raises UnsupportedOperation where one is only read or only written.
    """
    readers = {node.get_attributes()["variable_id"]: node for node in _of_type(model, "ReadValue")}
    writers = {node.get_attributes()["variable_id"]: node for node in model.get_sinks() if node.get_type_name() == "Assign"}
    if not readers and not model.get_sinks():
        return model, None
    if (
        readers.keys() != writers.keys()
        or len(writers) < len(model.get_sinks())
        or len(readers) < len(_of_type(model, "ReadValue"))
    ):
        raise UnsupportedOperation(
            "The model keeps state that is not read once and written once.",
            hint="Export it with its state as inputs and outputs.",
        )
    variables = tuple(
        StateVariable(name, readers[name].get_output_element_type(0), readers[name].get_output_partial_shape(0))
        for name in sorted(readers)
    )
    states = States(variables, _beginnings(model, [variable.name for variable in variables]))
    results, parameters = list(model.get_results()), list(model.get_parameters())
    for variable in variables:
        parameters.append(_parameter(variable, readers[variable.name]))
        results.append(_result(variable, writers[variable.name]))
    return ov.Model(results, parameters, model.friendly_name), states


def restore_states(model: ov.Model, states: States) -> ov.Model:
    """The model, which is consumed, with its last inputs and outputs as variables again."""
    count = len(states.variables)
    parameters, results = list(model.get_parameters()), list(model.get_results())
    own, kept = parameters[:-count], parameters[-count:]
    beginnings = _grown(states.initial, own)
    sinks = []
    for variable, parameter, result, first in zip(states.variables, kept, results[-count:], beginnings, strict=True):
        value = result.input_value(0)
        name, shape = parameter.friendly_name, parameter.get_partial_shape()
        read = stateful.read_value(first, variable.name, variable.type, shape, name=f"{name}/read")
        users = list(parameter.output(0).get_target_inputs())
        for user in users:
            user.replace_source_output(read.output(0))
        if value.get_node().get_type_name() == "Parameter":
            value = read.output(0)  # it is never changed
        sinks.append(stateful.assign(value.get_node(), variable.name, name=f"{name}/assign"))
        sinks[-1].input(0).replace_source_output(value)  # a call takes the first output of an operation only
    return ov.Model(results[:-count], sinks, own, model.friendly_name)


def _of_type(model: ov.Model, kind: str) -> list[ov.Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == kind]


def _beginnings(model: ov.Model, names: Sequence[str]) -> ov.Model:
    """A model of the same inputs that computes what the variables begin with; zeros where the model does not say."""
    copy = model.clone()
    readers = {node.get_attributes()["variable_id"]: node for node in _of_type(copy, "ReadValue")}
    first = [_beginning(readers[name]) for name in names]
    return ov.Model([ops.result(port) for port in first], list(copy.get_parameters()), "states")


def _beginning(reader: ov.Node) -> ov.Output:
    if reader.get_input_size():
        return reader.input_value(0)
    shape = [axis.get_length() if axis.is_static else 0 for axis in reader.get_output_partial_shape(0)]
    return ops.constant(np.zeros(shape, reader.get_output_element_type(0).to_dtype())).output(0)


def _parameter(variable: StateVariable, reader: ov.Node) -> ov.Node:
    parameter = ops.parameter(variable.shape, variable.type, name=variable.tensor)
    for user in list(reader.output(0).get_target_inputs()):
        user.replace_source_output(parameter.output(0))
    parameter.output(0).set_names({variable.tensor})
    return parameter


def _result(variable: StateVariable, writer: ov.Node) -> ov.Node:
    value = writer.input_value(0)
    if not value.get_names():
        value.set_names({f"{variable.tensor}/next"})
    return ops.result(value)


def _grown(initial: ov.Model, own: Sequence[ov.Node]) -> list[ov.Output]:
    """The outputs of a copy of `initial` that reads the inputs of another model."""
    copy = initial.clone()
    for theirs, ours in zip(copy.get_parameters(), own, strict=True):
        for user in list(theirs.output(0).get_target_inputs()):
            user.replace_source_output(ours.output(0))
    return [result.input_value(0) for result in copy.get_results()]
