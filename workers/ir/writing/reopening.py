"""The result gets the inputs and outputs of the source back, and is seen to work at the sizes that they promise."""

from collections.abc import Sequence

import numpy as np
import openvino as ov

from workers.errors import Refusal
from workers.ir.graph.interface import Interface, restore_ports
from workers.ir.graph.probe import draw_values, runner
from workers.ir.graph.shapes import Shape, set_shapes
from workers.ir.reading.canonical_form import Trial, fixed_axes, open_forms
from workers.ir.reading.inputs import Input

SEED = 22


def reopen(
    model: ov.Model, interface: Interface, shapes: Sequence[Shape], trial: Trial | None, entries: Sequence[Input]
) -> tuple[str, ...]:
    """Give a compressed model the names and open axes of `interface`, in place; returns what is to be said where it cannot.

    `shapes` are those that calibrated. Raises UnresolvedShape where the model does not even take these.
    """
    restore_ports(model, interface)
    forms = list(open_forms(interface, shapes))
    for form in forms:
        wanted = [port.shape for port in form.inputs]
        copy = model.clone()
        try:
            set_shapes(copy, wanted)
        except Refusal:
            if form is forms[-1]:
                raise
            continue
        if form is forms[-1] or _works(copy, form, interface, trial, entries):
            break
    set_shapes(model, wanted)
    return tuple(fixed_axes(interface, form))


def _works(model: ov.Model, form: Interface, interface: Interface, trial: Trial | None, entries: Sequence[Input]) -> bool:
    """Whether outputs have the sizes that the source's have at the other size that it was tried at."""
    if trial is None or not any(port.open_axes for port in form.inputs):
        return True
    if form is not interface:
        return True  # it has fewer open axes than the trial
    rng = np.random.default_rng(SEED)
    drawn = [draw_values(shape, entry.dtype, entry.bounds, rng) for entry, shape in zip(entries, trial.shapes, strict=True)]
    there = model.clone()
    try:
        set_shapes(there, trial.shapes)
        found = runner(there)(drawn)
    except Refusal:
        return False
    sizes = zip(found, trial.outputs, there.outputs, strict=True)
    return all(value.shape == shape or port.get_partial_shape().is_dynamic for value, shape, port in sizes)
