"""A ternary weight: a sign for every element, and for every output channel the value of either sign.

It is EC2T's own form, two masks and two values (Marban et al. 2020, section 3.3), with values for each channel.
"""

import math
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.storage.graph import Graph
from workers.ir.storage.plan import StoragePlan, cheapest
from workers.ir.storage.values import element_plans

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signs:
    """`codes`, -1, 0 or 1, times `above` where they are 1 and `below` where they are -1, is the tensor."""

    codes: Float32
    above: Float32  # one for every channel, broadcasts to the codes
    below: Float32


def find_signs(tensor: Float32) -> Signs | None:
    """The signs of a tensor whose channels have one value of either sign; channels are the first axes or the last."""
    channels = ((0,), (0, 1), (tensor.ndim - 1,)) if tensor.ndim > 1 else ()
    for kept in channels:
        others = tuple(axis for axis in range(tensor.ndim) if axis not in kept)
        if math.prod(tensor.shape[axis] for axis in others) < len("-0+"):
            continue
        above, below = tensor.max(axis=others, keepdims=True), tensor.min(axis=others, keepdims=True)
        if np.all((tensor == 0) | (tensor == np.where(tensor > 0, above, below))):
            return Signs(np.sign(tensor), np.maximum(above, 0), np.maximum(-below, 0))
    return None


def signed(plan: StoragePlan, signs: Signs) -> StoragePlan:
    """A plan for the tensor, from one for its signs."""
    above, below = (cheapest(element_plans(values)) for values in (signs.above, signs.below))

    def build(graph: Graph) -> ov.Output:
        codes = plan.build(graph)
        positive = graph(ops.greater, codes, graph.constant(np.zeros((), np.float32), ov.Type.f32))
        return graph(ops.multiply, codes, graph(ops.select, positive, above.build(graph), below.build(graph)))

    constants = above.bytes + below.bytes + 4
    return StoragePlan(f"{plan.scheme} x two values", plan.bytes + constants, plan.nodes + above.nodes + below.nodes + 4, build)
