"""Operations of a quantised model that are taken back to floating point, and what quantising each of them costs.

All harms come from one graph: that of the quantised model, in which a switch for every operation chooses between its quantised
and its original inputs and weights. It is compiled once, and an operation's harm is the error of the outputs with its switch
alone on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.calibration import Samples
from workers.ir.graph.constants import is_decoded
from workers.ir.graph.edit import ensure_bias, read_bias, write_bias
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import find_layers, nodes_by_name
from workers.methods.problem import Array
from workers.passes.state import CompressionState
from workers.recipe.skipped_layer import SkippedLayer

SMOOTHING = "nncf_smooth_quant"  # ends the name of what NNCF's SmoothQuant divides activations by
SWITCHES = "fractune_switches"
NEVER = ("FakeQuantize", "Constant", "Result")
REVERTED = "taken back to floating point after int8"
SAMPLES = 16  # that show what quantising one operation costs


def quantised_operations(model: ov.Model) -> list[str]:
    """The operations with quantised inputs or weights, in topological order."""
    return [
        node.friendly_name
        for node in model.get_ordered_ops()
        if node.get_type_name() not in NEVER and not is_decoded(node) and list(_quantised_ports(node))
    ]


def revert(quantised: ov.Model, before: ov.Model, names: Collection[str]) -> None:
    """Take operations back, in place: their inputs and weights become those of `before`, the model that was quantised."""
    nodes, originals = nodes_by_name(quantised), nodes_by_name(before)
    for name in names:
        for port in list(_quantised_ports(nodes[name])):
            value = nodes[name].input_value(port)
            nodes[name].input(port).replace_source_output(_original(value, originals[name], port))
    quantised.validate_nodes_and_infer_types()


def taken_back(whole: CompressionState, names: Sequence[str]) -> CompressionState:
    """A quantised state with these operations in floating point again, their biases included; `whole` stays as it is."""
    before = whole.unquantised
    assert before is not None  # `int8` sets it
    there = set(quantised_operations(whole.model))
    chosen = [name for name in names if name in there]
    model = whole.model.clone()
    revert(model, before.model, chosen)
    layers = [layer for layer in find_layers(before.model)[0] if set(layer.readers) & set(chosen)]
    for bias in ensure_bias(before.model, layers).values():
        write_bias(model, bias, read_bias(before.model, bias))
    reverted = {layer.name for layer in layers}
    results = {name: result for name, result in whole.results.items() if name not in reverted}
    results |= {name: before.results[name] for name in reverted & before.results.keys()}
    left = [SkippedLayer(layer.name, layer.type, REVERTED) for layer in layers if layer.name not in before.results]
    return replace(whole, model=model, results=results, skipped=(*whole.skipped, *left))


def operation_harms(quantised: ov.Model, before: ov.Model, samples: Samples, threads: int) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the outputs with one operation alone quantised, by its name; the mean over the outputs.

    Runs `SAMPLES` of the samples once for every operation.
    """
    there = nodes_by_name(before)
    names = [name for name in quantised_operations(quantised) if name in there]
    switched = _with_switches(quantised, before, names)
    request = ov.Core().compile_model(switched, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads}).create_infer_request()
    lost, energy = np.zeros((len(names), len(quantised.outputs))), np.zeros(len(quantised.outputs))
    off, each = np.zeros(len(names), np.float32), np.eye(len(names), dtype=np.float32)
    for number in range(min(SAMPLES, samples.count)):
        inputs = dict(samples.batch(number, number + 1))
        expected = _outputs(request, inputs, off)
        energy += [float(np.square(value).sum()) for value in expected]
        for row, switches in enumerate(each):
            found = _outputs(request, inputs, switches)
            lost[row] += [_distance(*pair) for pair in zip(expected, found, strict=True)]
    harms = (lost / np.where(energy > 0, energy, 1.0)).mean(axis=1)
    return dict(zip(names, harms.tolist(), strict=True))


def _quantised_ports(node: ov.Node) -> Iterator[int]:
    """The inputs of an operation that are quantised: activations, or weights."""
    for port, value in enumerate(node.input_values()):
        if _source(value).get_node().friendly_name != value.get_node().friendly_name or is_decoded(value.get_node()):
            yield port


def _source(value: ov.Output) -> ov.Output:
    """The activations before they were quantised, and smoothed for it."""
    while True:
        node = value.get_node()
        smooths = node.get_type_name() == "Multiply" and node.friendly_name.endswith(SMOOTHING)
        if node.get_type_name() != "FakeQuantize" and not smooths:
            return value
        value = node.input_value(0)


def _original(value: ov.Output, original: ov.Node, port: int) -> ov.Output:
    """What an input was before the model was quantised."""
    if not is_decoded(value.get_node()):
        return _source(value)
    weight = original.input_value(port).get_node()
    constant: ov.Output = ops.constant(weight.get_data(), name=weight.friendly_name).output(0)
    return constant


def _with_switches(quantised: ov.Model, before: ov.Model, names: Collection[str]) -> ov.Model:
    """A model that takes one more input: for every operation, 1 where it is to be quantised and 0 where not."""
    model = quantised.clone()
    nodes, originals = nodes_by_name(model), nodes_by_name(before)
    biases = ensure_bias(before, find_layers(before)[0])
    switches = ops.parameter([len(names)], np.float32, name=SWITCHES)
    switches.output(0).set_names({SWITCHES})
    for number, name in enumerate(names):
        switch = ops.gather(switches, ops.constant(np.int64(number)), ops.constant(np.int64(0)))
        for port in list(_quantised_ports(nodes[name])):
            _mix(nodes[name].input(port), _original(nodes[name].input_value(port), originals[name], port), switch)
        if bias := biases.get(name):
            off = ops.constant(read_bias(before, bias).reshape(bias.shape))
            _mix(nodes[bias.add].input(bias.port), off.output(0), switch)
    model.add_parameters([switches])
    model.validate_nodes_and_infer_types()
    return model


def _mix(port: ov.Input, off: ov.Output, switch: ov.Node) -> None:
    """Have an input be `off` where the switch is 0, and what it was where it is 1."""
    mixed = ops.add(off, ops.multiply(switch, ops.subtract(port.get_source_output(), off)))
    port.replace_source_output(mixed.output(0))


def _outputs(request: ov.InferRequest, inputs: Mapping[str, NDArray[Any]], switches: NDArray[Any]) -> list[Array]:
    found = request.infer({**inputs, SWITCHES: switches}, share_outputs=True)
    return [np.array(value, np.float64) for value in found.values()]


def _distance(expected: Array, found: Array) -> float:
    """Outputs whose size depends on the data are taken to be lost where it has changed."""
    if expected.shape != found.shape:
        return float(np.square(expected).sum())
    return float(np.square(found - expected).sum())
