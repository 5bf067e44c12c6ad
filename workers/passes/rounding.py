"""The integers of int8 chosen against the outputs of their layers, and kept where samples that chose nothing confirm them.

NNCF rounds every weight to the nearest integer. Here the weights of a layer are rounded one column after another, so that each
makes up for the errors of those before it in the metric of H, the second-order statistics of the layer's quantised inputs
(GPTQ, Frantar et al. 2022). Scales, ranges, kernels and the form of the IR stay NNCF's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from workers.calibration import Samples
from workers.engine.collect import StatisticsPass
from workers.engine.damping import damping_of
from workers.engine.layer import LayerTask
from workers.engine.moments import pool, pool_noise
from workers.engine.solver import LayerStatistics, pose
from workers.ir.graph.constants import constants_of
from workers.ir.graph.edit import ensure_bias, read_bias, read_weight, write_bias, write_weight
from workers.ir.graph.folding import folded
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.methods.problem import Array
from workers.methods.solvers.column_pass import coordinate_descent, within
from workers.passes.nncf_layers import compressed_layers, smoothing
from workers.passes.output_error import output_errors
from workers.passes.state import CompressionState, RunContext

SOLVING, JUDGING = 32, 32  # samples
HALF_STEP = 0.501  # how far rounding moves a weight, in steps; where it lies further, NNCF had changed the weight before


@dataclass(frozen=True, slots=True)
class Integers:
    """The weights of one layer as NNCF rounded them."""

    layer: Layer
    original: Array  # (g, r, c) that were rounded
    rounded: Array  # (g, r, c)
    step: Array  # (g, r, c)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What samples that chose nothing say: the relative error of the outputs by NNCF's rounding, and by ours."""

    nearest: float
    chosen: float

    @property
    def better(self) -> bool:
        """Whether ours is nearer to the original."""
        return self.chosen < self.nearest

    @property
    def sentence(self) -> str:
        """For the report."""
        kept = "Chosen ones are kept" if self.better else "NNCF's are kept"
        return (
            f"int8: {kept}. On calibration samples that chose no integers the outputs' relative error is {self.nearest:.3g} "
            f"by rounding to the nearest, {self.chosen:.3g} by rounding against the outputs."
        )


def choose_integers(quantised: ov.Model, before: CompressionState, context: RunContext) -> tuple[ov.Model, str]:
    """The model with integers chosen anew where that is better, and a sentence for the report on what was found.

    `quantised`, of batch 1, is what NNCF made of the model of `before`, and is not changed.
    """
    few = min(SOLVING, context.samples.count // 2)
    if not few:
        return quantised, "int8: NNCF's integers are kept, for one sample cannot both choose others and confirm them."
    layers = list(_integers(quantised, before))
    if not layers:
        return quantised, "int8: NNCF's integers are kept, for there is no layer whose weights it has only rounded."
    model = quantised.clone()
    for each, seen, damping in _statistics(model, layers, context.samples.take(range(few)), context):
        _write(model, before.model, each, seen, _solved(each, seen, damping))
    model.validate_nodes_and_infer_types()
    judging = context.samples.take(range(few, min(few + JUDGING, context.samples.count)))
    found = Confirmation(*output_errors(context.original, (quantised, model), judging, context.threads))
    return (model if found.better else quantised), found.sentence


def _integers(quantised: ov.Model, before: CompressionState) -> Iterator[Integers]:
    """The layers whose weights NNCF has rounded and not changed otherwise, but for those with the few levels of a method."""
    decoded = folded(quantised)
    for layer in compressed_layers(quantised, tuple(find_layers(before.model)[0])):
        codes, *scales = constants_of(quantised, layer)
        earlier = before.results.get(layer.name)
        few_levels = earlier is not None and earlier.scale is not None
        if few_levels or codes.get_element_type() != ov.Type.i8 or len(scales) != 1 or tuple(codes.shape) != layer.shape:
            continue
        step = layer.geometry.matrix(np.broadcast_to(scales[0].get_data().astype(np.float32), layer.shape)).astype(np.float64)
        original, rounded = (read_weight(model, layer).astype(np.float64) for model in (before.model, decoded))
        original = original * smoothing(quantised, layer)
        limit = np.abs(rounded / step).max()
        free = np.clip(original / step, -limit, limit)
        if np.abs(free - rounded / step).max() <= HALF_STEP:
            yield Integers(layer, original, rounded, step)


def _statistics(
    model: ov.Model, layers: Sequence[Integers], samples: Samples, context: RunContext
) -> Iterator[tuple[Integers, LayerStatistics, float]]:
    """What the layers of the quantised model read, and how far H is to be damped."""
    by_name = {each.layer.name: each for each in layers}
    tasks = [LayerTask(each.layer, (), each.original.astype(np.float32)) for each in layers]
    options, decoded = replace(context.engine, batch_size=1), model.clone()  # as it was quantised
    for each in layers:
        write_weight(decoded, each.layer, each.rounded)
    statistics = StatisticsPass(decoded, tasks, samples, options)
    for layer, seen in statistics.collect():
        depth = statistics.position(layer).depth
        yield by_name[layer.name], seen, damping_of(pool_noise(seen.outputs.values()), depth, options.last_damping)


def _solved(each: Integers, seen: LayerStatistics, damping: float) -> Array:
    """The weights (g, r, c) on NNCF's grid, by the column pass and coordinate descent; zeros stay zero."""
    limit = np.abs(np.rint(each.rounded / each.step)).max()
    steps = np.ascontiguousarray(np.moveaxis(each.step, 2, 0))
    problem = pose(each.layer, each.original, pool(seen.outputs.values()), damping)

    def choose(values: Array, column: int) -> Array:
        return np.asarray(np.clip(np.rint(values / steps[column]), -limit, limit) * steps[column])

    return coordinate_descent(problem, within(each.original != 0, choose))


def _write(model: ov.Model, before: ov.Model, each: Integers, seen: LayerStatistics, weight: Array) -> None:
    """Replace the integers of a layer, and let its biases keep the means of the outputs."""
    codes = constants_of(model, each.layer)[0]
    matrix = np.rint(weight / each.step).astype(np.float32)
    fresh = ops.constant(each.layer.geometry.tensor(matrix, each.layer.shape).astype(np.int8), name=codes.friendly_name)
    for user in list(codes.output(0).get_target_inputs()):
        user.replace_source_output(fresh.output(0))
    biases, present = ensure_bias(before, [each.layer]), nodes_by_name(model)
    for node, moments in seen.outputs.items():
        if biases[node].add in present:
            shift = np.einsum("grc,gc->gr", each.rounded - weight, moments.inputs.mean).reshape(-1)
            write_bias(model, biases[node], read_bias(model, biases[node]) + shift)
