"""What one sample of a model is: found by running two samples stacked and one by one, or declared by the recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import openvino as ov

from workers.errors import UnresolvedShape
from workers.ir.graph.interface import Interface, Port
from workers.ir.graph.shapes import Shape, check_known, open_axis, set_batch, set_shapes
from workers.ir.reading.batching import Stacking, takes_batch, try_stacking
from workers.ir.reading.inputs import Input

Declared = Mapping[str, Literal[0] | None]  # the axis of samples by input; None for an input that has none

SEED = 20
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples go into the model, which has the shapes of one sample."""

    inputs: tuple[Input, ...]
    notes: tuple[str, ...]  # which axis is taken for the samples', and why


def settle_sampling(
    model: ov.Model, entries: Sequence[Input], interface: Interface, given: Mapping[str, Shape], declared: Declared
) -> Sampling:
    """Find the axis of samples and make it one, in place; `given` are the shapes that the recipe names.

    Raises UnresolvedShape for an open first axis that is not the samples' and has no given length, or for a declared axis
    along which the model takes no samples.
    """
    check_known(model.inputs, declared, "batch axis")
    shapes = [entry.shape for entry in entries]
    ports = _candidates(interface, shapes, declared)
    stacking = _stacking(model, entries, ports, shapes)
    insisted = [port.name for port in ports if _given(declared, port, None) == 0]
    if insisted and stacking is Stacking.NONE:
        raise UnresolvedShape(
            f"The recipe's batch names {insisted[0]!r}, and the model does not take samples along its first axis."
        )
    if stacking is Stacking.APART or (insisted and stacking is Stacking.MIXED):
        names = {port.name for port in ports}
        inputs = tuple(
            replace(entry, shape=(1, *entry.shape[1:]), batch_axis=0) if entry.name in names else entry for entry in entries
        )
        return Sampling(_one_at_a_time(inputs), (_found(inputs, ports, stacking),))
    for port in ports:
        if stacking is Stacking.MIXED and 0 in port.open_axes and _given(given, port, None) is None:
            raise open_axis(port.name, port.shape, " Samples that are put together along its first axis influence each other.")
    return Sampling(tuple(entries), (_whole(ports, entries, stacking),))


def _candidates(interface: Interface, shapes: Sequence[Shape], declared: Declared) -> list[Port]:
    """The inputs whose first axis may be the samples': those where it is open, or else all."""
    ports = [port for port, shape in zip(interface.inputs, shapes, strict=True) if shape and _given(declared, port, 0) == 0]
    opened = [port for port in ports if 0 in port.open_axes or _given(declared, port, None) == 0]
    return opened or ports


def _stacking(model: ov.Model, entries: Sequence[Input], ports: Sequence[Port], shapes: Sequence[Shape]) -> Stacking:
    """What the model does with two samples; it has a batch of one afterwards if it takes them apart, else its former shapes."""
    names = [port.name for port in ports]
    sizes = {entry.shape[0] for entry in entries if entry.name in names}
    if len(sizes) != 1:
        return Stacking.NONE
    (size,) = sizes
    if size > 1 and not takes_batch(model, names, size, 1):
        return Stacking.NONE
    set_batch(model, names, 1)
    single = [replace(entry, shape=(1, *entry.shape[1:])) if entry.name in names else entry for entry in entries]
    first, second = ([entry.draw(np.random.default_rng([SEED, n])) for entry in single] for n in (0, 1))
    stacking = try_stacking(model, names, first, second)
    if stacking is Stacking.NONE or (size > 1 and stacking is Stacking.MIXED):
        set_shapes(model, shapes)
    return stacking


def _one_at_a_time(inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    """Inputs that share a batch, or none that has one: samples of the others cannot be stacked."""
    return inputs if all(entry.batch_axis == 0 for entry in inputs) else tuple(replace(e, batch_axis=None) for e in inputs)


def _found(inputs: Sequence[Input], ports: Sequence[Port], stacking: Stacking) -> str:
    names = ", ".join(repr(port.name) for port in ports)
    if stacking is Stacking.MIXED:
        return (
            f"The first axis of {names} is taken for the samples', as declared; samples that are stacked influence each other."
        )
    also = "" if len(inputs) == len(ports) else " The other inputs have no such axis: samples are run one at a time."
    return f"The first axis of {names} is the samples': two stacked give what each gives alone.{also}"


def _whole(ports: Sequence[Port], entries: Sequence[Input], stacking: Stacking) -> str:
    why = (
        "samples stacked along the first axis influence each other"
        if stacking is Stacking.MIXED
        else "it does not take several"
    )
    shapes = ", ".join(f"{entry.name!r} {list(entry.shape)}" for entry in entries)
    return (
        f"The model takes one sample at a time, whole ({shapes}): {why if ports else 'no input is declared to have a batch'}."
    )


def _given(values: Mapping[str, Value], port: Port, default: Value) -> Value:
    """The value for a port by any of its names."""
    return next((values[name] for name in sorted(port.names) if name in values), default)
