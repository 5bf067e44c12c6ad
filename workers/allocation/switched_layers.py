"""A segment of a model in which any layer's weights can be exchanged as it runs.

What a layer would put out more with its new weights is computed beside what it puts out, and counts times a switch. So the
segment is compiled once for all of its layers: compiling one takes as long as running a few samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from workers.engine.layer import LayerTask
from workers.ir.graph.edit import bias_shape, write_weight
from workers.ir.graph.frontier import Batch, Runner
from workers.ir.graph.layers import Float32, Layer, nodes_by_name
from workers.ir.graph.segments import Key, Segment

Means = Mapping[str, Float32]  # by operation, what its output gains on average, as its bias is shaped


@dataclass(frozen=True, slots=True)
class _Switch:
    """What a segment is given and tells of one operation beside its tensors."""

    switch: Key  # one number, 1 where the new weights count
    shift: Key  # shaped as the bias, what is taken off its output
    gain: Key  # the same shape, what the new weights put out more, on average over a batch


class SwitchedSegment:
    """A segment with the new weights (g, r, c) of its layers at hand, by layer name; compiled at once."""

    def __init__(self, segment: Segment, tasks: Sequence[LayerTask], weights: Mapping[str, Float32], threads: int) -> None:
        model, other = segment.model.clone(), segment.model.clone()
        nodes = nodes_by_name(model)
        self._layers = {task.layer.name: [name for name in task.layer.nodes if name in nodes] for task in tasks}
        self._switches: dict[str, _Switch] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        parameters, results = list(model.get_parameters()), list(model.get_results())
        for task in tasks:
            write_weight(other, task.layer, weights[task.layer.name] - task.values)
            for name in self._layers[task.layer.name]:
                self._switches[name] = _Switch((f"{name}/switch", 0), (f"{name}/shift", 0), (f"{name}/gain", 0))
                self._shapes[name] = bias_shape(nodes[name], task.layer.channels)
                given, gain = _switched(nodes[name], nodes_by_name(other)[name], task.layer, self._shapes[name])
                parameters += given
                results.append(gain)
        switches = self._switches.values()
        self._run = Runner(
            Segment(
                ov.Model(results, parameters, "switched"),
                (*segment.inputs, *(key for switch in switches for key in (switch.switch, switch.shift))),
                (*segment.outputs, *(switch.gain for switch in switches)),
                segment.channels_last,
            ),
            threads,
        )

    def __call__(self, batch: Batch, layer: str | None = None, means: Means | None = None) -> Batch:
        """The outputs of the segment, with one layer's new weights; what its output gains by `means` is taken off again."""
        here = self._layers.get(layer or "", [])
        given: Batch = {}
        for name, switch in self._switches.items():
            known = means.get(name) if means and name in here else None
            given[switch.switch] = np.full([1] * len(self._shapes[name]), name in here, np.float32)
            given[switch.shift] = np.zeros(self._shapes[name], np.float32) if known is None else known
        return self._run(batch | given)

    def gains(self, outputs: Batch) -> dict[str, Float32]:
        """What the output of each operation would gain, on average over the batch that gave these outputs."""
        return {name: np.array(outputs[switch.gain]) for name, switch in self._switches.items()}


def _switched(node: ov.Node, twin: ov.Node, layer: Layer, shape: Sequence[int]) -> tuple[list[ov.Node], ov.Node]:
    """Let `node` put out, times a switch, what its `twin` of another model does on its input, less a shift.

    Returns the switch and the shift, which are parameters, and the mean of what the twin puts out, a result.
    """
    data, users = 1 - layer.port, list(node.output(0).get_target_inputs())
    twin.input(data).replace_source_output(node.input_value(data))
    kind = node.get_output_element_type(0)
    switch, shift = ops.parameter([1] * len(shape), kind), ops.parameter(list(shape), kind)
    changed = ops.add(node.output(0), ops.subtract(ops.multiply(twin.output(0), switch), shift))
    for user in users:
        user.replace_source_output(changed.output(0))
    axes = [axis for axis in range(len(shape)) if axis != layer.geometry.channel_axis % len(shape)]
    return [switch, shift], ops.result(ops.reduce_mean(twin.output(0), axes, keep_dims=True))
