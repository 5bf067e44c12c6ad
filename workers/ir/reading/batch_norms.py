"""What BatchNorm has kept of the data that a model was trained on: the mean and deviation of every channel it normalised.

Where it still stands in a file, its output has the mean `beta` and the deviation `gamma` on training data. Simplifying the
model folds it into the layer before it, whose output keeps the names of its tensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Of a tensor (n, channels, ...) on training data."""

    mean: NDArray[np.float32]  # (channels,)
    deviation: NDArray[np.float32]  # (channels,)


def batch_norm_statistics(model: ov.Model) -> Mapping[str, ChannelStatistics]:
    """The statistics that a model as it was read still holds, by a name of the tensor."""
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "BatchNormInference":
            continue
        gamma, beta = (_constant(node.input_value(port)) for port in (1, 2))
        names = node.output(0).get_names()
        if gamma is not None and beta is not None and names:
            found[min(names)] = ChannelStatistics(beta, np.abs(gamma))
    return found


def _constant(port: ov.Output) -> NDArray[np.float32] | None:
    node = port.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.array(node.get_data(), np.float32).reshape(-1) if node.get_type_name() == "Constant" else None
