"""A model cut at a moving frontier.

The layers of a model are numbered by *phase*: a layer of phase p can run once all layers of phases before p are known.
Cutting every edge that crosses from one phase to another gives one small model per phase; running them in turn costs one
forward pass in total, and only the tensors on the frontier are ever kept.

What convolutions read and write crosses a cut with its channels last: the runtime has it so in any case, and takes and gives it
as it is. Every other tensor crosses as the model has it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import openvino as ov
import openvino.opset13 as ops

Key = tuple[str, int]  # a tensor: the friendly name of its producer and the output index

CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"})
# Operations whose output lies in memory as their first input does.
ELEMENTWISE = frozenset(
    "Add AvgPool BatchNormInference Clamp Concat Elu FakeQuantize HardSigmoid HSigmoid HSwish MaxPool Mish Multiply PRelu Relu "
    "Sigmoid Subtract Swish".split()
)


@dataclass(frozen=True, slots=True)
class Segment:
    """The operations of one phase, as a model of its own."""

    model: ov.Model
    inputs: tuple[Key, ...]  # in the order of the model's parameters
    outputs: tuple[Key, ...]  # in the order of its results
    channels_last: frozenset[Key] = frozenset()  # of both: those that the model takes and gives as (n, ..., c), not (n, c, ...)


@dataclass(frozen=True, slots=True)
class Cut:
    """A model as segments. Segment 0 runs before any layer; the layers of phase p are the first thing in segment p."""

    segments: tuple[Segment, ...]
    phases: dict[str, int]  # layer operation -> phase, from 1
    born: dict[Key, int]  # frontier tensor -> phase that computes it
    last_use: dict[Key, int]  # frontier tensor -> last phase that reads it
    held: tuple[int, ...]  # bytes of the frontier of one batch after each phase, tensors of unknown shape aside


def cut(
    model: ov.Model, layer_nodes: Iterable[str], exposed: Iterable[Key] = (), merged: Callable[[int], int] = lambda phase: phase
) -> Cut:
    """Cut `model`, which is consumed, at its layers; `exposed` tensors become outputs of the phase that computes them.

    `merged` says as which phase one counts: several, one after another, can be one where nothing changes between their layers.
    """
    names = set(layer_nodes)
    phases = {name: merged(phase) for name, phase in _phases(model, names).items()}
    last = max((phases[name] for name in names), default=0)
    crossing = _crossing(model, phases, last)
    wanted = dict.fromkeys([*crossing, *exposed])
    outputs = {
        tensor_key(port): port for node in model.get_ordered_ops() for port in node.outputs() if tensor_key(port) in wanted
    }
    last_axis = frozenset(key for key, port in outputs.items() if _of_convolutions(port))
    parameters = _replace_crossing(crossing, phases, last_axis)
    segments = tuple(_segment(phase, outputs, parameters, phases, last_axis) for phase in range(last + 1))
    layer_phases = {name: phases[name] for name in names}
    last_use = {key: max(phases[user.get_node().friendly_name] for user in users) for key, (_, users) in crossing.items()}
    born = {key: phases[key[0]] for key in crossing}
    sizes = {key: port_bytes(port) for key, (port, _) in crossing.items()}
    held = tuple(sum(sizes[key] for key in crossing if born[key] <= phase < last_use[key]) for phase in range(last + 1))
    return Cut(segments, layer_phases, born, last_use, held)


def layer_phases(model: ov.Model, layer_nodes: Iterable[str]) -> dict[str, int]:
    """The phase of each layer operation, from 1, where none count as one."""
    names = set(layer_nodes)
    phases = _phases(model, names)
    return {name: phases[name] for name in names}


def every(count: int) -> Callable[[int], int]:
    """So many phases count as one; 0, before any layer, is none of them."""
    return lambda phase: -(-phase // count)


def up_to(model: ov.Model, tensors: Iterable[Key]) -> Segment:
    """The part of a model, which is not consumed, that computes these tensors from the model's inputs."""
    ports = {tensor_key(port): port for node in model.clone().get_ordered_ops() for port in node.outputs()}
    wanted = tuple(tensors)
    last_axis = frozenset(key for key in wanted if _of_convolutions(ports[key]))
    results = [_result(key, ports[key], last_axis) for key in wanted]
    reached = _reached(results)
    inputs = {(name, 0): node for name, node in reached.items() if node.get_type_name() == "Parameter"}
    return Segment(ov.Model(results, list(inputs.values()), "up_to"), tuple(inputs), wanted, last_axis)


Crossing = dict[Key, tuple[ov.Output, list[ov.Input]]]


def _phases(model: ov.Model, layers: set[str]) -> dict[str, int]:
    phases: dict[str, int] = {}
    for node in model.get_ordered_ops():
        before = [phases[value.get_node().friendly_name] for value in node.input_values()]
        phases[node.friendly_name] = max(before, default=0) + (node.friendly_name in layers)
    return phases


def _crossing(model: ov.Model, phases: dict[str, int], end: int) -> Crossing:
    """Tensors read in a later phase than the one that computes them, with those readers; constants are everywhere."""
    crossing: Crossing = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            continue
        for port in node.outputs():
            phase = phases[node.friendly_name]
            users = [u for u in port.get_target_inputs() if phase < phases[u.get_node().friendly_name] <= end]
            if users:
                crossing[tensor_key(port)] = (port, users)
    return crossing


def _replace_crossing(crossing: Crossing, phases: dict[str, int], last_axis: frozenset[Key]) -> dict[tuple[Key, int], ov.Node]:
    """Let readers of such tensors read parameters, which are returned by tensor and phase."""
    parameters: dict[tuple[Key, int], ov.Node] = {}
    read: dict[tuple[Key, int], ov.Node] = {}  # the same with the channels where the model has them
    for key, (port, users) in crossing.items():
        for user in users:
            slot = (key, phases[user.get_node().friendly_name])
            if slot not in parameters:
                shape = list(port.get_partial_shape())
                moved = [shape[0], *shape[2:], shape[1]] if key in last_axis else shape
                parameters[slot] = ops.parameter(ov.PartialShape(moved), port.get_element_type())
                back = [0, len(shape) - 1, *range(1, len(shape) - 1)]
                read[slot] = ops.transpose(parameters[slot], back) if key in last_axis else parameters[slot]
            user.replace_source_output(read[slot].output(0))
    return parameters


def _result(key: Key, port: ov.Output, last_axis: frozenset[Key]) -> ov.Node:
    """A tensor as a result, its channels last where the runtime has them there."""
    rank = len(port.get_partial_shape()) if key in last_axis else 0
    return ops.result(ops.transpose(port, [0, *range(2, rank), 1]) if rank else port)


def _of_convolutions(port: ov.Output) -> bool:
    """Whether a tensor is an image that a convolution reads or made; inputs of the model are as they are given."""
    if port.get_node().get_type_name() == "Parameter" or not 3 <= _rank(port) <= 5:
        return False
    if any(user.get_node().get_type_name() in CONVOLUTIONS and user.get_index() == 0 for user in port.get_target_inputs()):
        return True
    while port.get_node().get_type_name() in ELEMENTWISE:
        inputs = port.get_node().input_values()
        port = next((value for value in inputs if value.get_node().get_type_name() != "Constant"), inputs[0])
    return port.get_node().get_type_name() in CONVOLUTIONS


def _rank(port: ov.Output) -> int:
    """0 where it is open."""
    rank = port.get_partial_shape().rank
    return int(rank.get_length()) if rank.is_static else 0


def _segment(
    phase: int,
    outputs: dict[Key, ov.Output],
    parameters: dict[tuple[Key, int], ov.Node],
    phases: dict[str, int],
    last_axis: frozenset[Key],
) -> Segment:
    mine = {key: port for key, port in outputs.items() if phases[key[0]] == phase}
    entering = {key: node for (key, at), node in parameters.items() if at == phase}
    results = [_result(key, port, last_axis) for key, port in mine.items()]
    reached = _reached(results)
    used = {key: node for key, node in entering.items() if node.friendly_name in reached}
    used |= {(name, 0): node for name, node in reached.items() if node.get_type_name() == "Parameter" and name in phases}
    model = ov.Model(results, list(used.values()), f"segment_{phase}")
    return Segment(model, tuple(used), tuple(mine), last_axis & {*used, *mine})


def _reached(results: list[ov.Node]) -> dict[str, ov.Node]:
    seen: dict[str, ov.Node] = {}
    stack = list(results)
    while stack:
        node = stack.pop()
        if node.friendly_name not in seen:
            seen[node.friendly_name] = node
            stack += [value.get_node() for value in node.input_values()]
    return seen


def tensor_key(port: ov.Output) -> Key:
    """The key of a tensor."""
    return (port.get_node().friendly_name, port.get_index())


def port_bytes(port: ov.Output) -> int:
    """What a tensor takes, in bytes; 0 where its shape is open."""
    shape = port.get_partial_shape()
    return prod(port.get_shape()) * int(port.get_element_type().size) if shape.is_static else 0
