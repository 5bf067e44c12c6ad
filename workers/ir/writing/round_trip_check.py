"""Evidence that a written model is the model that was meant."""

from collections.abc import Sequence

import numpy as np
import openvino as ov

from workers.errors import Internal
from workers.ir.graph.folding import folded
from workers.ir.graph.layers import nodes_by_name
from workers.ir.graph.probe import Values

CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def prove_same(meant: ov.Model, written: ov.Model, probes: Sequence[Values] = ()) -> None:
    """Raise Internal unless both models have the same interface, constants and outputs for the inputs `probes`, to the bit.

    The float32 hint is the harder case: under it OpenVINO still quantises the activations of a MatMul whose weights it
    takes for integers.
    """
    if _interface(meant) != _interface(written):
        raise Internal("The exported model has other inputs or outputs.")
    _compare_constants(folded(meant), folded(written))
    values = list(map(_fitted, probes, meant.inputs)) if probes else list(map(_probe, meant.inputs))
    for expected, found in zip(_run(meant, values), _run(written, values), strict=True):
        if not np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"):
            raise Internal("The exported model computes other outputs.")


def _interface(model: ov.Model) -> list[tuple[set[str], str, str]]:
    ports = [*model.inputs, *model.outputs]
    return [(port.get_names(), str(port.get_partial_shape()), port.get_element_type().to_string()) for port in ports]


def _compare_constants(meant: ov.Model, written: ov.Model) -> None:
    nodes = nodes_by_name(written)
    for node in meant.get_ordered_ops():
        for port, value in enumerate(node.input_values()):
            expected = value.get_node()
            if expected.get_type_name() != "Constant":
                continue
            found = nodes[node.friendly_name].input_value(port).get_node()
            if found.get_type_name() != "Constant" or not np.array_equal(expected.get_data(), found.get_data()):
                raise Internal(f"A constant of {node.friendly_name} does not decode to what it was.")


def _run(model: ov.Model, probes: Sequence[Values]) -> list[Values]:
    request = ov.Core().compile_model(model, "CPU", CONFIG).create_infer_request()
    request.infer(dict(enumerate(probes)))
    return [np.array(request.get_output_tensor(index).data) for index in range(len(model.outputs))]


def _fitted(probe: Values, port: ov.Output) -> Values:
    """The probe of one sample, repeated along the axes that the written model fixes at another length: a batch of eight."""
    axes = port.get_partial_shape()
    shape = [axis.get_length() if axis.is_static else length for axis, length in zip(axes, probe.shape, strict=True)]
    return probe if list(probe.shape) == shape else np.resize(probe, shape)


def _probe(port: ov.Output) -> Values:
    """An input of the port's type and shape, open dimensions one: a wave, or zeros and ones for integers."""
    shape = [dimension.get_length() if dimension.is_static else 1 for dimension in port.get_partial_shape()]
    count = np.arange(int(np.prod(shape))).reshape(shape)
    dtype = port.get_element_type().to_dtype()
    return np.asarray(np.sin(count) if np.issubdtype(dtype, np.floating) else count % 2, dtype)
