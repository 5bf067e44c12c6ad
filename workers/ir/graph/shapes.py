"""The shapes in which a model is run while it is calibrated: open axes get a length, and keep being open in the result."""

from collections.abc import Iterable, Mapping, Sequence

import openvino as ov

from workers.errors import UnresolvedShape
from workers.ir.reading.error_translation import plain_sentence

Shape = tuple[int, ...]


def set_shapes(model: ov.Model, shapes: Sequence[Shape | ov.PartialShape]) -> None:
    """Set the shape of every input, in order. Raises UnresolvedShape where the shapes do not go together."""
    for parameter, shape in zip(model.get_parameters(), shapes, strict=True):
        parameter.set_partial_shape(ov.PartialShape(shape))
    propagate(model)


def set_batch(model: ov.Model, names: Iterable[str], size: int) -> None:
    """Set the first axis of the named inputs; -1 opens it. Raises UnresolvedShape where the shapes do not go together."""
    wanted = set(names)
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        if not wanted.isdisjoint(port.get_names()):
            parameter.set_partial_shape(ov.PartialShape([ov.Dimension(size), *list(port.get_partial_shape())[1:]]))
    propagate(model)


def propagate(model: ov.Model) -> None:
    """Infer all shapes from those of the inputs."""
    try:
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise UnresolvedShape(f"The shapes of the inputs do not fit the model: {plain_sentence(str(error))}") from error


def chosen_shapes(ports: Sequence[ov.Output], given: Mapping[str, Shape]) -> list[Shape]:
    """The shape of every input: the one in `given` by any of its names, else its own, an open first axis counting as one.

    Raises UnresolvedShape for an unknown name, an open axis of no given length, and a shape that does not fit.
    """
    if set(given) == {""} and len(ports) == 1:  # without a name it is for the only input
        given = {min(ports[0].get_names()): given[""]}
    check_known(ports, given, "shape")
    return [_shape(port, next((given[name] for name in sorted(port.get_names()) if name in given), None)) for port in ports]


def check_known(ports: Sequence[ov.Output], given: Iterable[str], what: str) -> None:
    """Raise UnresolvedShape for names that no input has."""
    unknown = set(given) - {name for port in ports for name in port.get_names()}
    if unknown:
        known = ", ".join(min(port.get_names()) for port in ports)
        raise UnresolvedShape(
            f"The model has no input {', '.join(sorted(unknown))}; its inputs are {known}.", hint=f"Correct the {what}."
        )


def _shape(port: ov.Output, given: Shape | None) -> Shape:
    name, declared = min(port.get_names()), port.get_partial_shape()
    if given is None:
        if declared.rank.is_dynamic or any(dimension.is_dynamic for dimension in list(declared)[1:]):
            raise open_axis(name, declared)
        lengths = tuple(
            dimension.get_length() if dimension.is_static else dimension.get_min_length() or 1 for dimension in declared
        )
        if 0 in lengths:
            raise UnresolvedShape(f"Input {name!r} is empty: its shape is {declared}.")
        return lengths
    if any(length < 1 for length in given) or (declared.rank.is_static and declared.rank.get_length() != len(given)):
        raise UnresolvedShape(
            f"The shape {list(given)} does not fit input {name!r}, which is {declared}.", hint=_remedy(name, declared)
        )
    return given


def open_axis(name: str, declared: ov.PartialShape, why: str = "") -> UnresolvedShape:
    """The refusal of an input whose shape must be given."""
    return UnresolvedShape(f"The shape of input {name!r} is open: {declared}.{why}", hint=_remedy(name, declared))


def _remedy(name: str, declared: ov.PartialShape) -> str:
    if declared.rank.is_dynamic:
        return UnresolvedShape.hint
    usual = [1, 3, 224, 224] if declared.rank.get_length() == 4 else [1, *[128] * (declared.rank.get_length() - 1)]
    lengths = [d.get_length() if d.is_static else usual[axis] for axis, d in enumerate(declared)]
    return f"Give the shape, for example --shape '{name}[{','.join(map(str, lengths))}]'."
