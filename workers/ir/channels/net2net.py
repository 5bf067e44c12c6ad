"""A larger network that computes the same: channels split in two, identity layers put in (Net2Net, Chen et al. 2016).

A channel that is split is computed twice, by the same weights, and what reads it reads both halves: w x = s w x + (1 − s) w x.
Channels that are added or multiplied somewhere are split together, as they would have to be removed together.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.errors import NotExtensible
from workers.ir.channels.groups import ChannelConstant, Coupling, couple, shape_of
from workers.ir.graph.layers import Indices, Layer, nodes_by_name

MULTIPLE = 8  # channels are rounded up to a multiple of it, as in the paper
SHARES = (0.25, 0.75)  # of a weight that goes to one half: not the same everywhere, lest the halves stay alike
KERNEL = 3  # of an identity layer


def widen(model: ov.Model, layers: Sequence[Layer], factor: float, rng: np.random.Generator) -> int:
    """Split channels until every group has `factor` times as many, in place; returns how many were added.

    Raises NotExtensible where no channel can be split.
    """
    coupling = couple(model, layers)
    copies = _copies(coupling, factor, rng)
    if not copies.any():
        reasons = "; ".join(sorted(set(coupling.reasons().values()))[:3])
        raise NotExtensible(f"No channel of the model can be split: {reasons or 'no layer reads channels of another'}.")
    shares = rng.uniform(*SHARES, len(copies))
    nodes = nodes_by_name(model)
    by_name = {layer.name: layer for layer in layers}
    for entry in coupling.entries:
        roots = coupling.root(entry.numbers)
        if copies[roots].any():
            _lengthen(nodes[entry.node], entry, roots, copies, shares if _is_read(entry, by_name, coupling) else None)
    model.validate_nodes_and_infer_types()
    return int(sum(copies[coupling.root(numbers)].sum() for numbers in coupling.outputs.values()))


def deepen(model: ov.Model, layers: Sequence[Layer], factor: float) -> int:
    """Put identity layers, a convolution and a Relu each, where images are not negative, evenly spaced; returns how many.

    Raises NotExtensible where the model has no Relu, or clamp at zero, of an image.
    """
    wanted = ceil((factor - 1) * len(layers) - 1e-9)
    places = [node for node in model.get_ordered_ops() if _passes_images(node)]
    if wanted and not places:
        raise NotExtensible("No identity layer can be put in: the model has no Relu of an image.")
    for number, place in enumerate(np.linspace(0, len(places) - 1, wanted).round().astype(int) if wanted else ()):
        _insert_identity(places[place], f"deeper_{number + 1}")
    model.validate_nodes_and_infer_types()
    return wanted


def _copies(coupling: Coupling, factor: float, rng: np.random.Generator) -> Indices:
    """How many more of each channel there are to be, by root."""
    locked = coupling.reasons()
    groups: dict[frozenset[str], set[int]] = defaultdict(set)
    writers: dict[int, set[str]] = defaultdict(set)
    for name, numbers in coupling.outputs.items():
        for root in coupling.root(numbers).tolist():
            writers[root].add(name)
    read = {root for numbers in coupling.inputs.values() for root in coupling.root(numbers).tolist()}
    for root, names in writers.items():
        if root not in locked and root in read:
            groups[frozenset(names)].add(root)
    copies = np.zeros(len(coupling.parents), np.intp)
    for _, roots in sorted(groups.items(), key=lambda group: min(group[1])):
        order = rng.permutation(sorted(roots))
        more = MULTIPLE * ceil(factor * len(order) / MULTIPLE - 1e-9) - len(order) if factor > 1 else 0
        np.add.at(copies, np.resize(order, more), 1)
    return copies


def _is_read(entry: ChannelConstant, layers: dict[str, Layer], coupling: Coupling) -> bool:
    """Whether an entry holds the weights by which a layer reads channels."""
    layer = layers.get(entry.node)
    return layer is not None and entry.port == layer.port and entry.numbers is coupling.inputs.get(layer.name)


def _lengthen(
    node: ov.Node, entry: ChannelConstant, roots: Indices, copies: Indices, shares: NDArray[np.float64] | None
) -> None:
    """Repeat what belongs to each channel; with `shares`, divide it among the channel and its copies."""
    old = node.input_value(entry.port).get_node()
    values = np.array(old.data)
    order, weights = _order(entry.numbers, roots, copies, shares)
    if entry.axis is None:
        values[entry.position] = len(order)
    else:
        values = np.take(values, order, axis=entry.axis)
        if shares is not None:
            shape = [1] * values.ndim
            shape[entry.axis] = -1
            values = (values * weights.reshape(shape)).astype(values.dtype)
    new = ops.constant(np.ascontiguousarray(values), dtype=old.get_element_type(), name=old.friendly_name)
    node.input(entry.port).replace_source_output(new.output(0))


def _order(
    numbers: Indices, roots: Indices, copies: Indices, shares: NDArray[np.float64] | None
) -> tuple[Indices, NDArray[np.float64]]:
    """Positions, each channel's followed by those of its copies, and the share of each. A channel may have several in a row."""
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    order: list[NDArray[np.intp]] = []
    weights: list[NDArray[np.float64]] = []
    for run, root in zip(np.split(np.arange(len(numbers)), starts[1:]), roots[starts], strict=True):
        more = int(copies[root])
        order += [run] * (1 + more)
        first = 1.0 if not more else float(shares[root]) if shares is not None else 1.0
        weights += [np.full(len(run), first), *[np.full(len(run), (1 - first) / max(more, 1))] * more]
    return np.concatenate(order), np.concatenate(weights)


def _passes_images(node: ov.Node) -> bool:
    shape, kind = shape_of(node.output(0)), node.get_type_name()
    positive = kind == "Relu" or (kind == "Clamp" and node.get_attributes()["min"] >= 0)
    return positive and len(shape) == 4 and shape[1] > 0


def _insert_identity(node: ov.Node, name: str) -> None:
    output = node.output(0)
    channels = shape_of(output)[1]
    kernel = np.zeros((channels, channels, KERNEL, KERNEL), np.float32)
    kernel[np.arange(channels), np.arange(channels), KERNEL // 2, KERNEL // 2] = 1
    readers = list(output.get_target_inputs())
    pads = [KERNEL // 2] * 2
    same = ops.convolution(output, ops.constant(kernel, name=f"{name}/kernel"), [1, 1], pads, pads, [1, 1], name=name)
    positive = ops.relu(same, name=f"{name}/relu")
    for reader in readers:
        reader.replace_source_output(positive.output(0))
