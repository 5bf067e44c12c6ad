"""From a model as OpenVINO reads it to its plain form, with as many axes left open as can be shown to work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import openvino as ov

from workers.errors import Refusal, UnresolvedShape
from workers.ir.graph.interface import Interface, Port
from workers.ir.graph.origins import Origin, SourceNode, name_operations, tag
from workers.ir.graph.probe import Values, alike, draw_values, runner
from workers.ir.graph.shapes import Shape, chosen_shapes, set_shapes
from workers.ir.graph.states import States
from workers.ir.reading.canonicalise import attention_as_it_came, canonicalise
from workers.ir.reading.inputs import Input, describe_inputs
from workers.ir.reading.limits import check_sizes
from workers.ir.reading.sampling import Declared, Sampling, settle_sampling
from workers.ir.reading.validation import check_finite, check_has_layers, check_not_quantized

SEED = 21
MOST_VALUES = 2**22  # of all inputs, at a size that is tried though nobody asked for it


@dataclass(frozen=True, slots=True)
class Trial:
    """A size other than the one that calibrates, at which the source runs."""

    shapes: tuple[Shape, ...]  # of the inputs
    outputs: tuple[Shape, ...]  # of what it returns then


@dataclass(frozen=True, slots=True)
class CanonicalForm:
    """A model of the shapes of one sample."""

    model: ov.Model
    sampling: Sampling
    origins: Mapping[str, Origin]  # by operation
    interface: Interface  # as it is to be in the result
    shapes: tuple[Shape, ...]  # in which it is calibrated, before its batch became one
    trial: Trial | None  # None where no axis is open, or the source runs at no other size
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A model as OpenVINO reads it, and what its file says of it."""

    model: ov.Model
    interface: Interface
    nodes: Mapping[str, SourceNode] | None  # by the tensors that they compute, where the format tells
    named: bool  # whether names in the file are the operations' own
    states: States | None = None  # variables, that are its last inputs and outputs

    def shapes(self, given: Mapping[str, Shape]) -> tuple[Shape, ...]:
        """The shape of every input, where the recipe gives some: variables have what they begin with."""
        if self.states is None:
            return tuple(chosen_shapes(self.model.inputs, given))
        own = chosen_shapes(self.model.inputs[: -len(self.states.variables)], given)
        return (*own, *self.states.shapes(own))


def canonical_form(source: SourceModel, given: Mapping[str, Shape], declared: Declared) -> CanonicalForm:
    """Normalise a copy of `source`; `given` shapes calibrate, and what is open in the source stays open where that works.

    Raises a Refusal for shapes that do not fit, and for models that do not run or have nothing to compress.
    """
    shapes = source.shapes(given)
    fixed = source.model.clone()
    set_shapes(fixed, shapes)
    check_sizes(fixed)
    forms = list(open_forms(_with_lengths(source.interface, shapes), shapes))
    for form in forms:
        last = form is forms[-1]
        try:
            model, origins = _normalised(source, form, shapes)
        except UnresolvedShape:
            if last:
                raise
            continue
        entries = describe_inputs(model, form)
        same = _same(fixed, model, entries, shapes)
        trial, kept = _try_other_size(source, model, form, entries, shapes)
        if last or (same and kept):
            break
    set_shapes(model, shapes)
    sampling = settle_sampling(model, entries, form, given, declared)
    warnings = tuple(fixed_axes(source.interface, form))
    if not same:
        warnings += (
            "Simplified by OpenVINO, the model computes other outputs than as it came; figures compare with the former.",
        )
    return CanonicalForm(model, sampling, origins, form, shapes, trial, warnings)


def _normalised(source: SourceModel, form: Interface, shapes: Sequence[Shape]) -> tuple[ov.Model, dict[str, Origin]]:
    model = source.model.clone()
    set_shapes(model, [port.shape for port in form.inputs])
    tags = tag(model, source.nodes, source.named)
    with attention_as_it_came(model) if source.states else nullcontext():
        canonicalise(model)
    set_shapes(model, shapes)
    origins = name_operations(model, tags, [port.name for port in form.inputs])
    check_not_quantized(model)
    check_finite(model)
    check_has_layers(model)
    return model, origins


def _with_lengths(interface: Interface, shapes: Sequence[Shape]) -> Interface:
    """The interface with another length of an axis that is fixed in the source and that the recipe gives otherwise."""

    def port(declared: Port, shape: Shape) -> Port:
        if declared.shape.rank.is_dynamic:
            return replace(declared, shape=ov.PartialShape(shape))
        lengths = [
            axis if axis.is_dynamic else ov.Dimension(length) for axis, length in zip(declared.shape, shape, strict=True)
        ]
        return replace(declared, shape=ov.PartialShape(lengths))

    return replace(interface, inputs=tuple(map(port, interface.inputs, shapes)))


def open_forms(interface: Interface, shapes: Sequence[Shape]) -> Iterator[Interface]:
    """The interface with all of its open axes, then with none but the first open, then with the lengths of `shapes`."""
    yield interface
    for most in (1, 0):
        inputs = tuple(_closed(port, shape, most) for port, shape in zip(interface.inputs, shapes, strict=True))
        if inputs != interface.inputs:
            yield replace(interface, inputs=inputs)
            interface = replace(interface, inputs=inputs)


def _closed(port: Port, shape: Shape, most: int) -> Port:
    """The port with the axes from `most` on fixed."""
    if all(axis < most for axis in port.open_axes):
        return port
    return replace(port, shape=ov.PartialShape([*list(port.shape)[:most], *map(ov.Dimension, shape[most:])]))


def fixed_axes(before: Interface, after: Interface) -> Iterator[str]:
    """What is to be said of inputs that have lost an open axis."""
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if old.open_axes != new.open_axes or old.shape.rank.is_dynamic:
            yield f"Input {old.name!r} is {old.shape} in the source and {new.shape} in the result: it works at no other size."


def _same(fixed: ov.Model, model: ov.Model, entries: Sequence[Input], shapes: Sequence[Shape]) -> bool:
    """Whether the source and its plain form compute the same; outputs whose size depends on the data are not compared."""
    return _agree(runner(fixed)(drawn := _drawn(entries, shapes)), runner(model)(drawn), model)


def _agree(first: Sequence[Values], second: Sequence[Values], model: ov.Model) -> bool:
    compared = [number for number, port in enumerate(model.outputs) if port.get_partial_shape().is_static]
    return alike([first[number] for number in compared], [second[number] for number in compared])


def _drawn(entries: Sequence[Input], shapes: Sequence[Shape]) -> list[Values]:
    rng = np.random.default_rng(SEED)
    return [draw_values(shape, entry.dtype, entry.bounds, rng) for entry, shape in zip(entries, shapes, strict=True)]


def _try_other_size(
    source: SourceModel, model: ov.Model, form: Interface, entries: Sequence[Input], shapes: Sequence[Shape]
) -> tuple[Trial | None, bool]:
    """A size at which the source runs as well, and whether the plain form, opened again, computes the same there."""
    for shapes_there in _other_sizes(form, shapes):
        there = source.model.clone()
        drawn = _drawn(entries, shapes_there)
        try:
            set_shapes(there, shapes_there)
            check_sizes(there)
            expected = runner(there)(drawn)
        except Refusal:
            continue
        opened = model.clone()
        try:
            set_shapes(opened, [port.shape for port in form.inputs])
            set_shapes(opened, shapes_there)
            found = runner(opened)(drawn)
        except Refusal:
            return None, False
        return Trial(tuple(shapes_there), tuple(value.shape for value in expected)), _agree(expected, found, opened)
    return None, True


def _other_sizes(form: Interface, shapes: Sequence[Shape]) -> Iterator[list[Shape]]:
    """Open axes twice as long, unless that is much to run, then half, then the first axes alone twice as long."""
    if not any(port.open_axes for port in form.inputs):
        return
    doubled = [_resized(port, shape, lambda axis, length: 2 * length) for port, shape in zip(form.inputs, shapes, strict=True)]
    if sum(map(prod, doubled)) <= MOST_VALUES:
        yield doubled
    yield [
        _resized(port, shape, lambda axis, length: length // 2 if axis else 2 * length)
        for port, shape in zip(form.inputs, shapes, strict=True)
    ]
    yield [
        _resized(port, shape, lambda axis, length: length if axis else 2 * length)
        for port, shape in zip(form.inputs, shapes, strict=True)
    ]


def _resized(port: Port, shape: Shape, length: Callable[[int, int], int]) -> Shape:
    return tuple(max(length(axis, old), 1) if axis in port.open_axes and old else old for axis, old in enumerate(shape))
