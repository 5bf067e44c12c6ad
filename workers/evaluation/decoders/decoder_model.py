"""A decoder as a model: a small network that turns the raw outputs of another into boxes, a map or an embedding.

No code of users runs in the service; what no decoder here knows comes as ONNX or IR, and runs in the same confined process.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov

from workers.errors import InvalidRecipe
from workers.evaluation.decoders.detections import Array, Output
from workers.ir.files.sources import open_source
from workers.ir.graph.frontier import EXACT
from workers.ir.reading.error_translation import refusing

AXES = {"boxes": 2, "scores": 1, "labels": 1, "class_map": 2, "embedding": 1}  # of what a decoder may return, for one sample


class DecoderModel:
    """Takes the outputs of a model by their names, with a batch of one; returns what its own outputs are called."""

    def __init__(self, path: Path, outputs: Sequence[Output], threads: int) -> None:
        """Raises a Refusal for what is no model, InvalidRecipe for inputs or outputs of other names."""
        with open_source(path) as source, refusing("read the decoder"):
            model = ov.Core().read_model(source.path)
        self.names = [port.get_any_name() for port in model.outputs]
        unknown = [name for name in self.names if name not in AXES]
        if unknown:
            raise InvalidRecipe(f"decoder: its output {unknown[0]!r} is none of {', '.join(AXES)}.")
        positions = {output.name: index for index, output in enumerate(outputs)}
        self._inputs = {port.get_any_name(): positions.get(port.get_any_name()) for port in model.inputs}
        missing = [name for name, position in self._inputs.items() if position is None]
        if missing:
            raise InvalidRecipe(f"decoder: its input {missing[0]!r} is no output of the model ({', '.join(positions)}).")
        with refusing("compile the decoder"):
            compiled = ov.Core().compile_model(model, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads})
        self._request = compiled.create_infer_request()

    def decode_sample(self, values: Sequence[Array]) -> list[Array]:
        """From all outputs of the model for one sample, without the axis of samples."""
        inputs = {name: values[position][None] for name, position in self._inputs.items() if position is not None}
        with refusing("run the decoder"):
            results = self._request.infer(inputs)
        return [_without_batch(np.array(results[index]), AXES[name]) for index, name in enumerate(self.names)]

    def outputs(self, decoded: Sequence[Array]) -> list[Output]:
        """What it returns, described as the outputs of a model are."""
        pairs = zip(self.names, decoded, strict=True)
        return [Output(name, value.shape, None, bool(np.issubdtype(value.dtype, np.integer))) for name, value in pairs]


def _without_batch(value: Array, axes: int) -> Array:
    return value[0] if value.ndim == axes + 1 and len(value) == 1 else value
