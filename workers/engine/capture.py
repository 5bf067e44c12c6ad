"""Where the layers of a model read and write, and the statistics taken there.

The target of a layer is its output z in the original model. Where a skip connection is added to it further on, the target
also makes up for what the skip connection has lost: z + s − s′, with s and s′ the skipped tensor in the original and in the
compressed model. A residual block then passes on less error than entered it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine.gram import gram_bytes
from workers.engine.layer import LayerTask
from workers.engine.moments import ImpliedOutputs, InputMoments, OutputMoments, Outputs
from workers.ir.graph.edit import Bias
from workers.ir.graph.frontier import Batch
from workers.ir.graph.layers import Float32, Indices, Layer, nodes_by_name
from workers.ir.graph.segments import Key, tensor_key
from workers.randomness import Stream, generator

ROWS_PER_COLUMN = 10  # rows that the statistics of a layer are taken from, per column
FEWEST_ROWS = 16_384
FEWEST_ROWS_OF_GROUP = 2048  # where every group of a convolution has its own few columns
ROWS_AT_ONCE = 1024  # that a product takes
VALUES_AT_ONCE = 2**22  # that wait for a product


@dataclass(frozen=True, slots=True)
class Site:
    """Where one operation of a layer reads its input, and what is added to its output further on."""

    layer: Layer
    weight: Float32  # (g, r, c) of the original
    node: str
    source: Key
    skip: Key | None


def find_sites(model: ov.Model, tasks: Sequence[LayerTask], biases: Mapping[str, Bias]) -> list[Site]:
    """The site of every operation of the tasks' layers in a model where each has its bias."""
    nodes = nodes_by_name(model)
    sites = []
    for task in tasks:
        layer, weight = task.layer, task.values
        for name in layer.nodes:
            port = 1 - layer.port if layer.type == "MatMul" else 0
            source = tensor_key(nodes[name].input_value(port))
            sites.append(Site(layer, weight, name, source, _skip(nodes[biases[name].add])))
    return sites


def _skip(bias: ov.Node) -> Key | None:
    """The other operand of an Add that alone reads the biased output and does not broadcast."""
    users = list(bias.output(0).get_target_inputs())
    if len(users) != 1 or users[0].get_node().get_type_name() != "Add":
        return None
    other = users[0].get_node().input_value(1 - users[0].get_index())
    same = other.get_partial_shape() == bias.output(0).get_partial_shape()
    return tensor_key(other) if same and other.get_node().get_type_name() != "Constant" else None


class StatisticsCollector:
    """The statistics at each site of one phase, batch by batch: first drawn from the original, then added.

    `batches` is how many will come: together they give each layer the rows it needs. Sites that read the same tensor in the
    same way share their rows and their input statistics. Rows are gathered until they are ROWS_AT_ONCE, for a product of many
    rows is faster than many of few. Which rows are drawn follows from the seed and the number of the batch, whatever other
    sites there are.
    """

    def __init__(self, sites: Sequence[Site], batches: int, seed: int, phase: int, own: bool = False) -> None:
        """`own` says that the layers run in one model alone, whose outputs follow from the inputs."""
        self._sites = sites
        self._batches = batches
        self._seed, self._phase = seed, phase
        self._drawn = self._seen = 0  # batches
        self._waiting: deque[tuple[dict[object, Indices], dict[str, Float32]]] = deque()  # drawn, and not added yet
        self._inputs: dict[object, InputMoments] = {}
        for site in sites:
            self._inputs.setdefault(_reading(site), InputMoments())
        self._outputs = {} if own else {site.node: OutputMoments(self._inputs[_reading(site)]) for site in sites}
        self._rows: dict[tuple[object, int], list[Float32]] = {}  # of a reading in one half of the batches, (g, n, c) each
        self._targets: dict[tuple[str, int], list[Float32]] = {}  # (g, n, r) each

    def draw(self, dense: Batch, share: float) -> None:
        """Draw the rows of a batch and keep their targets: its tensors in the original, and how much of it is no padding."""
        rng = (self._seed, Stream.STATISTICS_ROWS, self._phase, self._drawn)
        self._drawn += 1
        index: dict[object, Indices] = {}
        inputs: dict[object, Float32] = {}
        targets: dict[str, Float32] = {}
        for site in self._sites:
            reading = _reading(site)
            if reading not in index:
                index[reading] = _rows(site, dense[site.source].shape, share, self._batches, generator(*rng))
                if self._outputs:
                    inputs[reading] = site.layer.geometry.input_rows(dense[site.source], index[reading])
            if self._outputs:
                targets[site.node] = _target(site, dense, index[reading], inputs[reading])
        self._waiting.append((index, targets))

    def add(self, sparse: Batch) -> None:
        """Count the batch that was drawn before all others: its tensors in the compressed model."""
        index, targets = self._waiting.popleft()
        half = self._seen % 2
        self._seen += 1
        read: set[object] = set()
        for site in self._sites:
            reading, geometry = _reading(site), site.layer.geometry
            if reading not in read:
                read.add(reading)
                found = geometry.input_rows(sparse[site.source], index[reading])
                self._rows.setdefault((reading, half), []).append(found)
            if targets:
                target = targets[site.node]
                if site.skip is not None:
                    target -= geometry.output_rows(sparse[site.skip], index[reading])
                self._targets.setdefault((site.node, half), []).append(target)
        for (reading, number), rows in self._rows.items():
            if sum(part.shape[1] for part in rows) >= ROWS_AT_ONCE or sum(part.size for part in rows) >= VALUES_AT_ONCE:
                self._count(reading, number)

    def outputs(self) -> Outputs:
        """The statistics of all that was added, by operation."""
        for (reading, half), rows in self._rows.items():
            if rows:
                self._count(reading, half)
        own = {site.node: ImpliedOutputs(self._inputs[_reading(site)], site.weight.astype(np.float64)) for site in self._sites}
        return self._outputs or own

    def _count(self, reading: object, half: int) -> None:
        rows = self._rows[reading, half]
        shifted = self._inputs[reading].add(np.concatenate(rows, axis=1), half)
        rows.clear()
        for site in self._sites if self._outputs else ():
            if _reading(site) == reading:
                targets = self._targets[site.node, half]
                self._outputs[site.node].add(np.concatenate(targets, axis=1), shifted)
                targets.clear()


def _reading(site: Site) -> object:
    return site.source, site.layer.geometry


def _target(site: Site, dense: Batch, index: Indices, inputs: Float32) -> Float32:
    """The output rows at `index` of the original, but for the bias, and what is added to them; `inputs` are its input rows."""
    target: Float32 = np.matmul(inputs, site.weight.swapaxes(1, 2))
    if site.skip is not None:
        target += site.layer.geometry.output_rows(dense[site.skip], index)
    return target


def target_bytes(site: Site) -> int:
    """What all targets of a site take at the most."""
    return 4 * _wanted(site) * site.layer.channels


def moment_bytes(site: Site) -> int:
    """What the second moments of the inputs of a site take, of both halves of the samples."""
    groups, _, cols = site.weight.shape
    return 2 * gram_bytes(groups, cols)


def _wanted(site: Site) -> int:
    """How many rows a layer needs."""
    fewest = FEWEST_ROWS if len(site.weight) == 1 else FEWEST_ROWS_OF_GROUP
    return max(ROWS_PER_COLUMN * site.layer.cols, fewest)


def _rows(site: Site, shape: Sequence[int], share: float, batches: int, rng: np.random.Generator) -> Indices:
    """Flat output positions of a batch with inputs of this shape: stratified, so that every sample and region is drawn from."""
    total = max(int(site.layer.geometry.input_positions(shape) * share), 1)
    want = ceil(_wanted(site) / batches)
    if want >= total:
        return np.arange(total)
    drawn: NDArray[np.intp] = ((np.arange(want) + rng.random(want)) * (total / want)).astype(np.intp)
    return drawn
