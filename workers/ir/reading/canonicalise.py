"""One plain form for every model: static shapes, float32 arithmetic, folded constants, named layers.

After `normalise`, a layer's weight and bias are float32 Constants, whatever framework, shape chain or storage they came from.
"""

from collections.abc import Iterable, Mapping, Sequence

import openvino as ov
import openvino.opset13 as ops
from openvino._offline_transformations import apply_moc_transformations

from workers.errors import UnresolvedShape
from workers.ir.graph.naming import name_operations, name_tensors, operation_types
from workers.ir.reading.error_translation import plain_sentence, refusing
from workers.ir.reading.limits import check_sizes

OTHER_FLOATS = {ov.Type.f16, ov.Type.bf16, ov.Type.f64}
OTHER_FLOAT_NAMES = {kind.get_type_name() for kind in OTHER_FLOATS}


def canonicalise(model: ov.Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Bring `model` into plain form, in place; returns the batch (-1: open) that inputs had before it became 1, by name.

    Where the batch flows through the model as a value, the operations that read it stay, so that it can be opened again.
    Raises UnresolvedShape for an input that stays dynamic or does not fit, or for tensors beyond all measure.
    """
    name_tensors(model)
    types = operation_types(model)
    batched = fix_shapes(model, shapes)
    check_sizes(model)
    with refusing("simplify the model"):
        use_float32(model)
        apply_moc_transformations(model, cf=True)
    batches = dict.fromkeys(batched, -1) or _fixed_batch(model)
    set_batch(model, batches, 1)
    name_operations(model, types | operation_types(model))
    return batches


def _fixed_batch(model: ov.Model) -> dict[str, int]:
    """The batch that all inputs share, when the model would take another one as well."""
    sizes = {port.shape[0] if len(port.shape) else 1 for port in model.inputs}
    if len(sizes) > 1 or sizes == {1} or not outputs_follow_batch(model, 1):
        return {}
    return {port.get_any_name(): port.shape[0] for port in model.inputs}


def outputs_follow_batch(model: ov.Model, size: int) -> bool:
    """Whether with `size` samples the outputs change from (batch, ...) to (size, ...), and in nothing else."""
    batch = model.input(0).shape[0]
    copy = model.clone()
    try:
        set_batch(copy, [port.get_any_name() for port in copy.inputs], size)
    except UnresolvedShape:
        return False
    shapes = [
        (list(a.get_partial_shape()), list(b.get_partial_shape())) for a, b in zip(model.outputs, copy.outputs, strict=True)
    ]
    return all(before and before[0] == batch and after == [ov.Dimension(size), *before[1:]] for before, after in shapes)


def fix_shapes(model: ov.Model, shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Give every input the shape named in `shapes`, else its own; an open first axis counts as the batch and stays open."""
    unknown = set(shapes) - {name for port in model.inputs for name in port.get_names()}
    if unknown:
        known = ", ".join(port.get_any_name() for port in model.inputs)
        raise UnresolvedShape(f"The model has no input {', '.join(sorted(unknown))}; its inputs are {known}.")
    batched = set()
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        given = next((shapes[name] for name in sorted(port.get_names()) if name in shapes), None)
        shape = _shape(port, given)
        if shape.is_dynamic:
            batched.add(port.get_any_name())
        parameter.set_partial_shape(shape)
    _propagate(model)
    return batched


def _shape(port: ov.Output, given: tuple[int, ...] | None) -> ov.PartialShape:
    name, declared = port.get_any_name(), port.get_partial_shape()
    if given is None:
        if declared.rank.is_dynamic or any(dimension.is_dynamic for dimension in list(declared)[1:]):
            raise UnresolvedShape(f"The shape of input {name!r} is open: {declared}.", hint=_remedy(name, declared))
        if any(dimension.is_static and dimension.get_length() < 1 for dimension in declared):
            raise UnresolvedShape(f"Input {name!r} is empty: its shape is {declared}.")
        return declared
    if any(length < 1 for length in given) or (declared.rank.is_static and declared.rank.get_length() != len(given)):
        raise UnresolvedShape(
            f"The shape {list(given)} does not fit input {name!r}, which is {declared}.", hint=_remedy(name, declared)
        )
    has_batch = declared.rank.is_static and len(given) > 0 and declared[0].is_dynamic and given[0] == 1
    return ov.PartialShape([-1 if has_batch else given[0], *given[1:]] if given else [])


def _remedy(name: str, declared: ov.PartialShape) -> str:
    if declared.rank.is_dynamic:
        return UnresolvedShape.hint
    usual = [1, 3, 224, 224] if declared.rank.get_length() == 4 else [1, *[128] * (declared.rank.get_length() - 1)]
    lengths = [d.get_length() if d.is_static else usual[axis] for axis, d in enumerate(declared)]
    return f"Give the shape, for example --shape '{name}[{','.join(map(str, lengths))}]'."


def set_batch(model: ov.Model, names: Iterable[str], size: int) -> None:
    """Set the first axis of the named inputs; -1 opens it. Raises UnresolvedShape where the shapes do not go together."""
    wanted = set(names)
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        if not wanted.isdisjoint(port.get_names()):
            parameter.set_partial_shape(ov.PartialShape([ov.Dimension(size), *list(port.get_partial_shape())[1:]]))
    _propagate(model)


def _propagate(model: ov.Model) -> None:
    try:
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise UnresolvedShape(f"The shapes of the inputs do not fit the model: {plain_sentence(str(error))}") from error


def use_float32(model: ov.Model) -> None:
    """Compute in float32 what the model computes in another float type; its inputs and outputs keep their types."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Parameter"]
    if not any(
        port.get_element_type() in OTHER_FLOATS for node in [*nodes, *model.get_parameters()] for port in node.outputs()
    ):
        return
    types = [port.get_element_type() for port in model.outputs]
    for parameter in model.get_parameters():
        if parameter.get_element_type() in OTHER_FLOATS:
            _convert(parameter.output(0), ov.Type.f32, list(parameter.output(0).get_target_inputs()))
    for node in nodes:
        _retype(node)
    for result, kind in zip(model.get_results(), types, strict=True):
        if kind in OTHER_FLOATS:
            _convert(result.input_value(0), kind, [result.input(0)])
    model.validate_nodes_and_infer_types()


def _convert(port: ov.Output, kind: ov.Type, users: Sequence[ov.Input]) -> None:
    converted = ops.convert(port, kind.get_type_name())
    for user in users:
        user.replace_source_output(converted.output(0))


def _retype(node: ov.Node) -> None:
    if node.get_type_name() == "Constant" and node.get_element_type() in OTHER_FLOATS:
        new = ops.constant(node.get_data(dtype="float32"), name=node.friendly_name)
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(new.output(0))
        return
    for key, value in node.get_attributes().items():
        if isinstance(value, str) and value in OTHER_FLOAT_NAMES:
            node.set_attribute(key, "f32")
