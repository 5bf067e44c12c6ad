"""An upload becomes a model in plain form, or a refusal that says what is wrong with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov

from workers.ir.files.formats import Format
from workers.ir.files.onnx_file import node_by_tensor
from workers.ir.files.sources import open_source
from workers.ir.graph.interface import Interface, interface_of, name_tensors
from workers.ir.graph.origins import Origin
from workers.ir.graph.probe import runner
from workers.ir.graph.shapes import Shape, set_shapes
from workers.ir.graph.states import States, expose_states, restore_states
from workers.ir.reading.batch_norms import ChannelStatistics, batch_norm_statistics
from workers.ir.reading.canonical_form import CanonicalForm, SourceModel, Trial, canonical_form
from workers.ir.reading.error_translation import refusing
from workers.ir.reading.inputs import Input
from workers.ir.reading.sampling import Declared
from workers.ir.reading.validation import check_complete, check_deterministic, check_names

Precision = Literal["f32", "f16"]
NO_SHAPES: Mapping[str, Shape] = {}
NOT_DECLARED: Declared = {}
STATE_SEED = 24


@dataclass(frozen=True, slots=True)
class Imported:
    """A model ready for compression, and what is to be said about where it came from."""

    model: ov.Model  # in the plain form of `workers.ir.reading.canonicalise`, of the shapes of one sample
    format: Format
    sha256: str  # of the upload
    original_bytes: int  # of the model with all files of its weights, unpacked
    inputs: tuple[Input, ...]  # that samples are given for
    outputs: tuple[str, ...]
    precision: Precision  # in which most of its weights were stored
    notes: tuple[str, ...]  # for the report
    warnings: tuple[str, ...]  # of what the result does not keep
    origins: Mapping[str, Origin]  # what its operations are called in the source
    source: Interface  # its inputs and outputs as they came
    interface: Interface  # the same, as they are to be in the result, and after them what stands for state
    shapes: tuple[Shape, ...]  # of the inputs, that calibrate; their batch as in the source
    trial: Trial | None  # another size, where the result must work too
    statistics: Mapping[str, ChannelStatistics] = field(default_factory=dict)  # that BatchNorm held, by a name of the tensor
    states: States | None = None  # the variables of a model that keeps state: further inputs and outputs of `model`
    state_inputs: tuple[Input, ...] = ()

    @property
    def all_inputs(self) -> tuple[Input, ...]:
        """Of `model`: those that stand for its state come last."""
        return (*self.inputs, *self.state_inputs)

    @property
    def narrowed(self) -> bool:
        """Whether some axis that is open in the source had to be fixed."""
        own = self.interface.inputs[: len(self.source.inputs)]
        return [port.open_axes for port in self.source.inputs] != [port.open_axes for port in own]


def load(path: Path, shapes: Mapping[str, Shape] = NO_SHAPES, batch: Declared = NOT_DECLARED) -> Imported:
    """Read, check and normalise the model in a file, folder or zip.

    `shapes` gives lengths to open axes, by input; `batch` says which inputs have an axis of samples, where the recipe does. The
    model is run on values that mean nothing: to see that its plain form computes the same, at another size too where axes are
    open, and whether samples can be stacked. Raises a Refusal for whatever is not a sound model, OutOfMemory where it does
    not fit.
    """
    with open_source(path) as source:
        with refusing("read the model"):
            model = ov.Core().read_model(source.path)
        check_names(model)
        check_complete(model)
        check_deterministic(model)
        precision = _precision(model)
        name_tensors(model)
        statistics = batch_norm_statistics(model)
        own = interface_of(model)
        model, states = expose_states(model)
        nodes = node_by_tensor(source.path) if source.format == "onnx" else None
        read = SourceModel(model, interface_of(model), nodes, named=source.format == "openvino", states=states)
        form = canonical_form(read, shapes, batch)
        inputs = form.sampling.inputs
        if states:
            _check_restorable(form, states)
        return Imported(
            model=form.model,
            format=source.format,
            sha256=source.sha256,
            original_bytes=source.bytes,
            inputs=inputs[: len(own.inputs)],
            outputs=tuple(port.name for port in own.outputs),
            precision=precision,
            notes=(*_notes(source.format, precision, states), *form.sampling.notes),
            warnings=form.warnings,
            origins=form.origins,
            source=own,
            interface=form.interface,
            shapes=form.shapes,
            trial=form.trial,
            statistics=statistics,
            states=states,
            state_inputs=inputs[len(own.inputs) :],
        )


def _check_restorable(form: CanonicalForm, states: States) -> None:
    """Raise a Refusal where the plain form does not run with its state inside, though it does with the state given to it."""
    copy = form.model.clone()
    set_shapes(copy, [port.shape for port in form.interface.inputs])
    restored = restore_states(copy, states)
    entries = form.sampling.inputs[: len(restored.inputs)]
    runner(restored)([entry.draw(np.random.default_rng([STATE_SEED, number])) for number, entry in enumerate(entries)])


def describe_model(imported: Imported) -> dict[str, Any]:
    """What inspection.json says about a model, in JSON values."""
    nodes = imported.model.get_ordered_ops()
    constants = [node for node in nodes if node.get_type_name() == "Constant" and node.get_element_type().is_real()]
    return {
        "format": imported.format,
        "sha256": imported.sha256,
        "bytes": imported.original_bytes,
        "precision": imported.precision,
        "inputs": input_descriptions(imported),
        "outputs": [
            {"name": name, "shape": _shape(port), "dtype": np.dtype(port.get_element_type().to_dtype()).name}
            for name, port in zip(imported.outputs, imported.model.outputs, strict=False)
        ],
        "operations": sum(node.get_type_name() not in ("Constant", "Parameter", "Result") for node in nodes),
        "parameters": sum(prod(node.shape) for node in constants),
        "notes": [*imported.warnings, *imported.notes],
    }


def input_descriptions(imported: Imported) -> list[dict[str, Any]]:
    """Its inputs as inspection.json tells them."""
    return [
        asdict(entry)
        | {"names": list(entry.names), "shape": list(entry.shape), "source_shape": list(entry.source_shape)}
        | {"dtype": entry.dtype.name}
        for entry in imported.inputs
    ]


def _shape(port: ov.Output) -> list[int | None]:
    """Lengths of the axes, null where they depend on the data."""
    shape = port.get_partial_shape()
    return [axis.get_length() if axis.is_static else None for axis in shape] if shape.rank.is_static else []


def _precision(model: ov.Model) -> Precision:
    elements = {ov.Type.f32: 0, ov.Type.f16: 0}
    for node in model.get_ops():
        kind = node.get_element_type() if node.get_type_name() == "Constant" else None
        if kind in elements:
            elements[kind] += prod(node.shape)
    return "f16" if elements[ov.Type.f16] > elements[ov.Type.f32] else "f32"


def _notes(kind: Format, precision: Precision, states: States | None) -> tuple[str, ...]:
    notes = []
    if states:
        notes.append(
            f"The model keeps state in {len(states.variables)} variables: it is reset between samples, and kept in the result."
        )
    if precision == "f16":
        notes.append("The weights were stored in half precision; compression computes in single precision.")
    if kind in ("savedmodel", "tensorflow"):
        notes.append("TensorFlow models are read by OpenVINO's own converter; inputs and outputs keep their names.")
    return tuple(notes)
