"""An ov.Model as a differentiable function: every operation in torch, compared with OpenVINO before it is relied on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.errors import Internal, NotTrainable
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.segments import port_bytes
from workers.training.operations import OPERATIONS, TYPES, Operation

BYTES_AT_ONCE = 2**28  # of outputs that are compared together
TOLERANCE = 1e-3  # of an operation's largest output, given the same inputs

Value = TypeVar("Value")
Key = tuple[str, int]  # an operation's name and the number of its output
Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One operation, ready to be carried out."""

    name: str
    type: str
    operation: Operation
    attributes: Mapping[str, Any]
    inputs: tuple[Key, ...]
    outputs: int  # up to the last that is read


class Network:
    """A model of fixed shapes. Raises NotTrainable for operations that are not known."""

    def __init__(self, model: ov.Model) -> None:
        unknown = sorted({node.get_type_name() for node in model.get_ops()} - OPERATIONS.keys() - ENDS)
        if unknown:
            raise NotTrainable(f"finetune does not know how to differentiate {', '.join(unknown)}.")
        self.parameters = {port.get_node().friendly_name: port.get_names() for port in model.inputs}
        self.results = [_source(result) for result in model.get_results()]
        self.constants = {node.friendly_name: _constant(node) for node in _of_type(model, "Constant")}
        self.calls = [_call(node) for node in model.get_ordered_ops() if node.get_type_name() not in ENDS]
        self._last = {key: number for number, call in enumerate(self.calls) for key in call.inputs}

    def run(
        self,
        feeds: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        wanted: Collection[str] = (),
        *,
        blockwise: bool = False,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The model's outputs, and first outputs of the `wanted` operations; `weights` replace constants of their names.

        `blockwise` lets no gradient pass a wanted operation: what comes after it cannot move what comes before.
        """
        known: dict[Key, Tensor] = {(name, 0): value for name, value in {**self.constants, **weights}.items()}
        known |= {(name, 0): _channels_last(_of_port(feeds, names)) for name, names in self.parameters.items()}
        taken: dict[str, Tensor] = {}
        kept = {*self.results, *((name, 0) for name in wanted)}
        for number, call in enumerate(self.calls):
            known |= _carry_out(call, [known[key] for key in call.inputs])
            if call.name in wanted:
                taken[call.name] = known[call.name, 0]
                known[call.name, 0] = taken[call.name].detach() if blockwise else taken[call.name]
            for key in set(call.inputs):
                if self._last[key] == number and key not in kept:
                    del known[key]
        return [known[key] for key in self.results], {name: taken[name] for name in wanted}


ENDS = {"Parameter", "Constant", "Result"}


def verify(model: ov.Model, network: Network, feeds: Feeds, threads: int) -> float:
    """Carry out every operation on the inputs that OpenVINO gives it; returns the largest relative difference.

    Raises NotTrainable for the first operation of which the result is further off than `TOLERANCE`.
    """
    given = {(name, 0): value for name, value in network.constants.items()}
    given |= {(name, 0): _tensor(_of_port(feeds, names)) for name, names in network.parameters.items()}
    return max((_apart(model, calls, given, feeds, threads) for calls in _few_at_once(model, network.calls)), default=0.0)


def _few_at_once(model: ov.Model, calls: Sequence[Call]) -> Iterator[list[Call]]:
    """The calls, in their order, in parts whose outputs take about BYTES_AT_ONCE: the runtime keeps all it is asked for."""
    sizes = {node.friendly_name: sum(map(port_bytes, node.outputs())) for node in model.get_ops()}
    part: list[Call] = []
    room = BYTES_AT_ONCE
    for call in calls:
        if part and sizes[call.name] > room:
            yield part
            part, room = [], BYTES_AT_ONCE
        part.append(call)
        room -= sizes[call.name]
    if part:
        yield part


def _apart(model: ov.Model, calls: Sequence[Call], given: Mapping[Key, Tensor], feeds: Feeds, threads: int) -> float:
    """The largest relative difference between OpenVINO and torch in the outputs of `calls`."""
    read = {key for call in calls for key in call.inputs} - given.keys()
    made = {(call.name, port) for call in calls for port in range(call.outputs)}
    copy = model.clone()
    copy.add_outputs(sorted(read | made))
    request = ov.Core().compile_model(copy, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads}).create_infer_request()
    request.infer(dict(feeds))
    outputs = zip(copy.get_results(), request.output_tensors, strict=True)
    expected = {_source(result): np.array(value.data) for result, value in outputs}
    known = {**given, **{key: torch.from_numpy(value) for key, value in expected.items()}}
    worst = 0.0
    with torch.no_grad():
        for call in calls:
            for key, value in _carry_out(call, [known[key] for key in call.inputs]).items():
                worst = max(worst, _difference(call, expected[key], value))
    return worst


def _of_port(feeds: Mapping[str, Value], names: Collection[str]) -> Value:
    """What an input is fed with, by any of its names."""
    return next(feeds[name] for name in names if name in feeds)


def _tensor(value: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value))


def _difference(call: Call, expected: NDArray[Any], found: Tensor) -> float:
    if tuple(found.shape) != expected.shape:
        raise NotTrainable(f"{call.type} {call.name!r} has shape {tuple(found.shape)} in torch, {expected.shape} in OpenVINO.")
    if not expected.size:
        return 0.0
    apart = float(np.abs(found.numpy().astype(np.float64) - expected.astype(np.float64)).max())
    relative = apart / max(float(np.abs(expected.astype(np.float64)).max()), 1e-6)
    if not relative <= TOLERANCE:
        raise NotTrainable(
            f"{call.type} {call.name!r} differs between torch and OpenVINO by {relative:.2g} of its largest output."
        )
    return relative


def _carry_out(call: Call, inputs: list[Tensor]) -> dict[Key, Tensor]:
    try:
        found = call.operation(call.attributes, *inputs)
    except (NotImplementedError, KeyError, IndexError, ValueError) as error:
        raise NotTrainable(f"finetune does not know this form of {call.type} ({call.name!r}): {error}.") from error
    outputs = found if isinstance(found, tuple) else (found,)
    if len(outputs) != call.outputs:
        raise Internal(f"{call.type} {call.name!r} has {call.outputs} outputs, not {len(outputs)}.")
    return {(call.name, port): value for port, value in enumerate(outputs)}


def _call(node: ov.Node) -> Call:
    kind = node.get_type_name()
    inputs = tuple((port.get_node().friendly_name, port.get_index()) for port in node.input_values())
    read = [port.get_index() for port in node.outputs() if port.get_target_inputs()]
    return Call(node.friendly_name, kind, OPERATIONS[kind], node.get_attributes(), inputs, max(read, default=0) + 1)


def _channels_last(value: Tensor) -> Tensor:
    """The layout in which convolutions are fastest on processors; the shape stays as it is."""
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value


def _source(result: ov.Node) -> Key:
    port = result.input_value(0)
    return port.get_node().friendly_name, port.get_index()


def _of_type(model: ov.Model, kind: str) -> list[ov.Node]:
    return [node for node in model.get_ops() if node.get_type_name() == kind]


def _constant(node: ov.Node) -> Tensor:
    kind = node.get_element_type().get_type_name()
    if kind not in TYPES:
        raise NotTrainable(f"finetune cannot read the constant {node.friendly_name!r} of type {kind}.")
    return torch.from_numpy(np.array(node.get_data()))
