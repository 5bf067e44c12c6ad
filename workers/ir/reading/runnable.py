"""A model to be run as it is: nothing is normalised, and it may be quantised, compressed, or without a layer."""

from collections.abc import Mapping
from pathlib import Path

import openvino as ov

from workers.ir.files.sources import open_source
from workers.ir.graph.interface import interface_of, name_tensors
from workers.ir.graph.shapes import Shape, set_shapes
from workers.ir.graph.states import expose_states
from workers.ir.reading.canonical_form import SourceModel
from workers.ir.reading.error_translation import refusing
from workers.ir.reading.importer import NO_SHAPES, NOT_DECLARED, Imported
from workers.ir.reading.inputs import describe_inputs
from workers.ir.reading.limits import check_sizes
from workers.ir.reading.sampling import Declared, settle_sampling
from workers.ir.reading.validation import check_complete, check_names


def load_as_it_is(path: Path, shapes: Mapping[str, Shape] = NO_SHAPES, batch: Declared = NOT_DECLARED) -> Imported:
    """Read the model in a file, folder or zip, of the shapes of one sample; see `load` for `shapes` and `batch`.

    Raises a Refusal for what OpenVINO cannot read or run.
    """
    with open_source(path) as source:
        with refusing("read the model"):
            model = ov.Core().read_model(source.path)
        check_names(model)
        check_complete(model)
        name_tensors(model)
        own = interface_of(model)
        model, states = expose_states(model)
        interface = interface_of(model)
        sizes = SourceModel(model, interface, None, named=True, states=states).shapes(shapes)
        set_shapes(model, sizes)
        check_sizes(model)
        sampling = settle_sampling(model, describe_inputs(model, interface), interface, shapes, batch)
        return Imported(
            model=model,
            format=source.format,
            sha256=source.sha256,
            original_bytes=source.bytes,
            inputs=sampling.inputs[: len(own.inputs)],
            outputs=tuple(port.name for port in own.outputs),
            precision="f32",
            notes=sampling.notes,
            warnings=(),
            origins={},
            source=own,
            interface=interface,
            shapes=sizes,
            trial=None,
            states=states,
            state_inputs=sampling.inputs[len(own.inputs) :],
        )
