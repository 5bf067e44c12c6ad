"""Activations sampled as they are computed, in standard operations: a running sum, a floor and a difference.

The magnitudes x of one sample's activation are a probability mass. Of N = K_a·n stratified samples, the k-th at (k + ξ) / N,
element j gets as many as fall between the running sums before and after it, and becomes that count times Σx / N:

    below_j = ⌊N · (x_1 + … + x_j) / Σx − ξ⌋ + 1,    x̃_j = (below_j − below_{j−1}) · Σx / N.

The offset ξ is drawn once for every activation, so that a model gives the same answer whenever it is asked.
"""

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from math import prod

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from workers.errors import UnmatchedScope
from workers.methods.mcq_activations import McqActivations
from workers.passes.state import CompressionState, RunContext, StepProgress
from workers.randomness import Stream, generator

POSITIVE = {"Relu", "Sigmoid", "HSigmoid", "HardSigmoid", "SoftPlus"}
SIGNED = {"PRelu", "Clamp", "Elu", "Selu", "Gelu", "HSwish", "Swish", "Mish", "Tanh"}
TINY = 1e-30  # instead of a mass of zero: 0 / TINY is no sample


def rewrite(step: McqActivations, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Sample every activation that another operation reads.

    Raises UnmatchedScope where `step.layers` names something else.
    """
    model = state.model
    found = [node for node in _activations(model) if node.friendly_name not in context.excluded]
    _check_names(step, [node.friendly_name for node in found])
    rng = generator(context.seed, Stream.ACTIVATIONS)
    for number, node in enumerate(found):
        rate = step.layers.get(node.friendly_name, step.samples_per_activation)
        insert_sampler(node, rate, rng.random(), whole=not context.samples.stacked)
        progress(number + 1, len(found), message=f"mcq_activations: {node.friendly_name}")
    model.validate_nodes_and_infer_types()
    return replace(state, model=model)


def insert_sampler(node: ov.Node, rate: float, offset: float, *, whole: bool) -> None:
    """Let all readers of `node` but the model's results read samples of its output, `rate` for each element.

    Each entry of the first axis is sampled by itself, or the tensor as a `whole`. `offset` is ξ, in [0, 1).
    """
    output, name = node.output(0), node.friendly_name
    readers = [reader for reader in output.get_target_inputs() if reader.get_node().get_type_name() != "Result"]
    shape = list(output.shape)
    count = prod(shape if whole else shape[1:])
    total = max(round(rate * count), 1)
    rows = ops.reshape(output, np.array([1 if whole else 0, -1]), special_zero=True, name=f"{name}/rows")
    signed = node.get_type_name() not in POSITIVE
    size = ops.absolute(rows, name=f"{name}/size") if signed else rows
    mass = ops.cum_sum(size, np.array(1), name=f"{name}/mass")
    whole_mass = ops.slice(mass, np.array([count - 1]), np.array([count]), np.array([1]), np.array([1]), name=f"{name}/sum")
    edges = ops.multiply(ops.divide(mass, ops.maximum(whole_mass, np.float32(TINY))), np.float32(total), name=f"{name}/edges")
    hit = ops.add(ops.floor(ops.subtract(edges, np.float32(offset))), np.float32(1))
    below = ops.clamp(hit, 0.0, float(total), name=f"{name}/below")
    shorter = ops.slice(below, np.array([0]), np.array([count - 1]), np.array([1]), np.array([1]))
    before = ops.pad(shorter, np.array([0, 1]), np.array([0, 0]), "constant", np.float32(0))
    counts = ops.subtract(below, before, name=f"{name}/counts")
    sampled = ops.multiply(counts, ops.multiply(whole_mass, np.float32(1 / total)))
    if signed:
        sampled = ops.multiply(sampled, ops.sign(rows))
    target = np.array(shape if whole else [0, *shape[1:]])
    result = ops.reshape(sampled, target, special_zero=not whole, name=f"{name}/sampled")
    for reader in readers:
        reader.replace_source_output(result.output(0))


def _activations(model: ov.Model) -> Iterator[ov.Node]:
    for node in model.get_ordered_ops():
        if node.get_type_name() not in POSITIVE | SIGNED or node.get_output_partial_shape(0).is_dynamic:
            continue
        if any(reader.get_node().get_type_name() != "Result" for reader in node.output(0).get_target_inputs()):
            yield node


def _check_names(step: McqActivations, names: list[str]) -> None:
    for name in step.layers:
        if name not in names:
            close = get_close_matches(name, names, n=1, cutoff=0.4)
            suggestion = f"; did you mean {close[0]!r}?" if close else "."
            raise UnmatchedScope(f"mcq_activations.layers: {name!r} is no activation of the model{suggestion}")
