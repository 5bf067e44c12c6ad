"""An upload becomes a model in plain form, or a refusal that says what is wrong with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov

from workers.ir.reading.canonicalise import canonicalise
from workers.ir.reading.error_translation import refusing
from workers.ir.reading.formats import Format
from workers.ir.reading.inputs import Input, describe_inputs
from workers.ir.reading.sources import open_source
from workers.ir.reading.validation import check_complete, check_finite, check_has_layers, check_names, check_not_quantized

Precision = Literal["f32", "f16"]
NO_SHAPES: Mapping[str, tuple[int, ...]] = {}


@dataclass(frozen=True, slots=True)
class Imported:
    """A model ready for compression, and what is to be said about where it came from."""

    model: ov.Model  # in the plain form of `workers.ir.reading.canonicalise`
    format: Format
    sha256: str  # of the upload
    original_bytes: int  # of the model with all files of its weights, unpacked
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    precision: Precision  # in which most of its weights were stored
    notes: tuple[str, ...]  # for the report


def load(path: Path, shapes: Mapping[str, tuple[int, ...]] = NO_SHAPES) -> Imported:
    """Read, check and normalise the model in a file, folder or zip; `shapes` resolves inputs whose shape is open.

    Nothing is compiled. Raises a Refusal for whatever is not a sound model, OutOfMemory where it does not fit.
    """
    with open_source(path) as source:
        with refusing("read the model"):
            model = ov.Core().read_model(source.path)
        check_names(model)
        check_complete(model)
        precision = _precision(model)
        batches = canonicalise(model, shapes)
        check_not_quantized(model)
        check_finite(model)
        check_has_layers(model)
        return Imported(
            model=model,
            format=source.format,
            sha256=source.sha256,
            original_bytes=source.bytes,
            inputs=describe_inputs(model, batches),
            outputs=tuple(port.get_any_name() for port in model.outputs),
            precision=precision,
            notes=_notes(source.format, precision),
        )


def describe_model(imported: Imported) -> dict[str, Any]:
    """What inspection.json says about a model, in JSON values."""
    nodes = imported.model.get_ordered_ops()
    constants = [node for node in nodes if node.get_type_name() == "Constant" and node.get_element_type().is_real()]
    return {
        "format": imported.format,
        "sha256": imported.sha256,
        "bytes": imported.original_bytes,
        "precision": imported.precision,
        "inputs": [asdict(entry) | {"shape": list(entry.shape), "dtype": entry.dtype.name} for entry in imported.inputs],
        "outputs": [
            {"name": name, "shape": _shape(port), "dtype": np.dtype(port.get_element_type().to_dtype()).name}
            for name, port in zip(imported.outputs, imported.model.outputs, strict=True)
        ],
        "operations": sum(node.get_type_name() not in ("Constant", "Parameter", "Result") for node in nodes),
        "parameters": sum(prod(node.shape) for node in constants),
        "notes": list(imported.notes),
    }


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


def _notes(kind: Format, precision: Precision) -> tuple[str, ...]:
    notes = []
    if precision == "f16":
        notes.append("The weights were stored in half precision; compression computes in single precision.")
    if kind in ("savedmodel", "tensorflow"):
        notes.append("TensorFlow models are read by OpenVINO's own converter; inputs and outputs keep their names.")
    return tuple(notes)
