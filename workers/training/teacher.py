"""The original model as a teacher: what OpenVINO answers, in a third of the time that torch takes."""

from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from workers.ir.graph.frontier import EXACT
from workers.training.losses import Run


class Teacher:
    """Outputs of a model, and first outputs of the operations named `features`."""

    def __init__(self, model: ov.Model, features: Sequence[str], threads: int) -> None:
        copy = model.clone()
        copy.add_outputs([(name, 0) for name in features])
        self._features, self._outputs = features, len(model.outputs)
        compiled = ov.Core().compile_model(copy, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads})
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, Tensor]) -> Run:
        """Outputs in the model's order and features by name, of a batch of inputs by name; copies, shaped as there."""
        self._request.infer({name: np.ascontiguousarray(value.numpy()) for name, value in feeds.items()})
        values = [torch.from_numpy(np.array(tensor.data)) for tensor in self._request.output_tensors]
        return values[: self._outputs], dict(zip(self._features, values[self._outputs :], strict=True))
