"""The same model for many samples at once, and whether there is such a thing."""

import re
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import openvino as ov
from openvino._offline_transformations import apply_moc_transformations

from workers.errors import Refusal, UnresolvedShape
from workers.ir.graph.folding import fold_empty, folded
from workers.ir.graph.probe import Values, alike, runner, stack_samples
from workers.ir.graph.shapes import set_batch
from workers.ir.reading.canonicalise import turn_inputs
from workers.ir.reading.equal_weights import merge_equal_weights


class Stacking(StrEnum):
    """What becomes of two samples that are put together along the first axis."""

    APART = "apart"  # each gives what it gives alone
    MIXED = "mixed"  # there are outputs for both, and they influence each other
    NONE = "none"  # the model does not take them, or does not give outputs for both


def try_stacking(model: ov.Model, names: Sequence[str], first: Sequence[Values], second: Sequence[Values]) -> Stacking:
    """Run two samples, a value for every input each, one by one and stacked; `model` is of batch 1, and is not changed.

    `names` are the inputs with an axis of samples; the others are as in the first sample.
    """
    axes = {number: 0 if port.get_names() & set(names) else None for number, port in enumerate(model.inputs)}
    second = [values if axes[number] == 0 else first[number] for number, values in enumerate(second)]
    together = model.clone()
    try:
        set_batch(together, names, 2)
        both = runner(together)(stack_samples([first, second], axes))
    except Refusal:
        return Stacking.NONE
    alone = list(map(runner(model), (first, second)))
    if any(one.ndim == 0 or len(one) != 1 or two.shape != (2, *one.shape[1:]) for one, two in zip(alone[0], both, strict=True)):
        return Stacking.NONE
    expected = [np.concatenate(pair) for pair in zip(*alone, strict=True)]
    return Stacking.APART if alike(expected, both) else Stacking.MIXED


def takes_batch(model: ov.Model, names: Sequence[str], batch: int, size: int) -> bool:
    """Whether the outputs' first axis follows, and nothing else, when that of the named inputs goes from `batch` to `size`."""
    copy = model.clone()
    try:
        set_batch(copy, names, size)
    except UnresolvedShape:
        return False
    shapes = [
        (list(a.get_partial_shape()), list(b.get_partial_shape())) for a, b in zip(model.outputs, copy.outputs, strict=True)
    ]
    return all(
        before and before[0] == ov.Dimension(batch) and after == [ov.Dimension(size), *before[1:]] for before, after in shapes
    )


def rebatch(model: ov.Model, size: int) -> ov.Model:
    """A copy of a model of batch 1 for `size` samples at once, with the shape computations of that size folded.

    Raises UnresolvedShape where the shapes do not go together.
    """
    copy = model.clone()
    set_batch(copy, [port.get_any_name() for port in copy.inputs], size)
    if any(0 in port.shape for port in copy.inputs):
        copy = folded(copy)  # what an empty tensor is put together with would take the name of the whole
    else:
        apply_moc_transformations(copy, cf=True)
        turn_inputs(copy)  # as layers are found: the line above lets the product transpose again
        merge_equal_weights(copy)  # and copies a weight for each product that reads it as its transpose
    name_nodes(copy)
    return copy


def batched(model: ov.Model, size: int) -> ov.Model:
    """A copy of a model of one sample for `size` samples at once; its own shapes need not have an axis for them if it is 1."""
    copy = rebatch(model, size) if size > 1 else model.clone()
    fold_empty(copy)
    return copy


def name_nodes(model: ov.Model) -> None:
    """Give operations names that differ and stay: a generated one counts up and changes whenever a model is copied.

    What OpenVINO folds may be called like something else.
    """
    taken: set[str] = set()
    for index, node in enumerate(model.get_ordered_ops()):
        name = str(node.friendly_name)
        if re.fullmatch(rf"{node.get_type_name()}_\d+", name):
            name = f"{node.get_type_name().lower()}_{index}"
        while name in taken:
            name = f"{name}~{index}"
        taken.add(name)
        node.friendly_name = name  # sets it: a name that was only inherited is not copied either
