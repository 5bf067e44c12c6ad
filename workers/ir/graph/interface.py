"""What a caller sees of a model: the names, shapes and types of its inputs and outputs, kept through everything done to it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from workers.ir.graph.shapes import propagate


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model as it came."""

    name: str  # of the names, the one by which it is addressed
    names: frozenset[str]
    shape: ov.PartialShape
    type: ov.Type

    @property
    def open_axes(self) -> tuple[int, ...]:
        """The axes of no fixed length."""
        return tuple(axis for axis, length in enumerate(self.shape) if length.is_dynamic) if self.shape.rank.is_static else ()


@dataclass(frozen=True, slots=True)
class Interface:
    """All inputs and outputs of a model, in order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def interface_of(model: ov.Model) -> Interface:
    """The interface of a model whose tensors all have names."""
    return Interface(tuple(map(_port, model.inputs)), tuple(map(_port, model.outputs)))


def _port(port: ov.Output) -> Port:
    names, own = frozenset(port.get_names()), port.get_node().friendly_name
    return Port(own if own in names else min(names), names, port.get_partial_shape(), port.get_element_type())


def name_tensors(model: ov.Model) -> None:
    """Give inputs and outputs without a tensor name one; older IRs have none."""
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        if not port.get_names():
            port.set_names({parameter.friendly_name})
    for number, result in enumerate(model.get_results()):
        source = result.input_value(0)
        if not source.get_names():
            source.set_names({source.get_node().friendly_name if source.get_index() == 0 else f"output_{number}"})


def restore_ports(model: ov.Model, interface: Interface) -> None:
    """Give inputs and outputs exactly the types and names that they had.

    Two outputs that became one tensor are told apart again.
    """
    _restore_double(model, interface)
    for port, wanted in zip(model.inputs, interface.inputs, strict=True):
        port.set_names(set(wanted.names))
    results = list(zip(model.get_results(), interface.outputs, strict=True))
    sources = Counter(_key(result.input_value(0)) for result, _ in results)
    known = {_key(port): wanted.names for port, wanted in zip(model.inputs, interface.inputs, strict=True)}
    for result, wanted in results:
        source = result.input_value(0)
        named = known.setdefault(_key(source), wanted.names)
        if named != wanted.names and (sources[_key(source)] > 1 or source.get_node().get_type_name() == "Parameter"):
            copy = ops.convert(source, source.get_element_type().get_type_name())
            result.input(0).replace_source_output(copy.output(0))
            source = copy.output(0)
        source.set_names(set(wanted.names))
    model.validate_nodes_and_infer_types()


def _restore_double(model: ov.Model, interface: Interface) -> None:
    """Put conversions where the source takes or gives double precision."""
    for parameter, wanted in zip(model.get_parameters(), interface.inputs, strict=True):
        if wanted.type == ov.Type.f64:
            users = list(parameter.output(0).get_target_inputs())
            parameter.set_element_type(wanted.type)
            single = ops.convert(_kept_apart(parameter.output(0)), "f32")
            for user in users:
                user.replace_source_output(single.output(0))
    model.validate_nodes_and_infer_types()
    for result, wanted in zip(model.get_results(), interface.outputs, strict=True):
        if wanted.type == ov.Type.f64 and result.get_element_type() != wanted.type:
            double = ops.convert(result.input_value(0), "f64")
            result.input(0).replace_source_output(_kept_apart(double.output(0)))
    model.validate_nodes_and_infer_types()


def _kept_apart(port: ov.Output) -> ov.Output:
    """The same values, moved by nothing: OpenVINO's CPU plugin fuses conversions of double precision with what it cannot."""
    rank = port.get_partial_shape().rank
    if rank.is_dynamic or not rank.get_length():
        return port
    start = ops.constant(np.zeros(1, np.int64))
    return ops.roll(port, start, start).output(0)


def _key(port: ov.Output) -> tuple[str, int]:
    return port.get_node().get_name(), port.get_index()


def open_shapes(model: ov.Model, interface: Interface) -> None:
    """Give the inputs of a model the shapes that they have in the source.

    Raises UnresolvedShape where an edit of the model does not allow it.
    """
    for parameter, wanted in zip(model.get_parameters(), interface.inputs, strict=True):
        parameter.set_partial_shape(wanted.shape)
    propagate(model)
