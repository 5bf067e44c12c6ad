"""Where the layers of a model read and write, and the statistics taken there.

The target of a layer is its output z in the original model. Where a skip connection is added to it further on, the target
also makes up for what the skip connection has lost: z + s − s′, with s and s′ the skipped tensor in the original and in the
compressed model. A residual block then passes on less error than entered it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine.moments import InputMoments, OutputMoments
from workers.ir.graph.edit import Bias
from workers.ir.graph.frontier import Batch
from workers.ir.graph.layers import Float32, Indices, Layer, nodes_by_name
from workers.ir.graph.segments import Key, tensor_key
from workers.randomness import Stream, generator

ROWS_PER_COLUMN = 10  # rows that the statistics of a layer are taken from, per column
FEWEST_ROWS = 16_384
ROWS_AT_ONCE = 1024  # that a product takes


@dataclass(frozen=True, slots=True)
class Site:
    """Where one operation of a layer reads its input, and what is added to its output further on."""

    layer: Layer
    node: str
    source: Key
    skip: Key | None


def find_sites(model: ov.Model, layers: Sequence[Layer], biases: dict[str, Bias]) -> list[Site]:
    """The site of every operation of the layers in a model where each has its bias."""
    nodes = nodes_by_name(model)
    sites = []
    for layer in layers:
        for name in layer.nodes:
            port = 1 - layer.port if layer.type == "MatMul" else 0
            source = tensor_key(nodes[name].input_value(port))
            sites.append(Site(layer, name, source, _skip(nodes[biases[name].add])))
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
    """The statistics at each site of one phase, batch by batch.

    `batches` is how many will come: together they give each layer the rows it needs. Sites that read the same tensor in the
    same way share their rows and their input statistics. Rows are gathered until they are ROWS_AT_ONCE, for a product of many
    rows is faster than many of few. Which rows are drawn follows from the seed and the number of the batch, whatever other
    sites there are.
    """

    def __init__(self, sites: Sequence[Site], batches: int, seed: int, phase: int) -> None:
        self._sites = sites
        self._batches = batches
        self._seed, self._phase = seed, phase
        self._seen = 0
        self._inputs: dict[object, InputMoments] = {}
        self._outputs = {site.node: OutputMoments(self._inputs.setdefault(_reading(site), InputMoments())) for site in sites}
        self._rows: dict[object, list[Float32]] = {reading: [] for reading in self._inputs}  # (g, n, c) each
        self._targets: dict[str, list[Float32]] = {site.node: [] for site in sites}  # (g, n, r) each

    def add(self, dense: Batch, sparse: Batch, share: float) -> None:
        """Count one batch: the original's and the compressed model's tensors, and how much of it is samples, not padding."""
        drawn: dict[object, Indices] = {}
        rng = (self._seed, Stream.STATISTICS_ROWS, self._phase, self._seen)
        self._seen += 1
        for site in self._sites:
            reading = _reading(site)
            if reading not in drawn:
                drawn[reading] = _rows(site.layer, dense[site.node, 0].shape, share, self._batches, generator(*rng))
                self._rows[reading].append(site.layer.geometry.input_rows(sparse[site.source], drawn[reading]))
            self._targets[site.node].append(_target(site, dense, sparse, drawn[reading]))
        for reading, rows in self._rows.items():
            if sum(part.shape[1] for part in rows) >= ROWS_AT_ONCE:
                self._count(reading)

    def outputs(self) -> dict[str, OutputMoments]:
        """The statistics of all that was added, by operation."""
        for reading, rows in self._rows.items():
            if rows:
                self._count(reading)
        return self._outputs

    def _count(self, reading: object) -> None:
        shifted = self._inputs[reading].add(np.concatenate(self._rows[reading], axis=1))
        self._rows[reading].clear()
        for site in self._sites:
            if _reading(site) == reading:
                self._outputs[site.node].add(np.concatenate(self._targets[site.node], axis=1), shifted)
                self._targets[site.node].clear()


def _reading(site: Site) -> object:
    return site.source, site.layer.geometry


def _target(site: Site, dense: Batch, sparse: Batch, index: Indices) -> Float32:
    rows = site.layer.geometry.output_rows
    target = rows(dense[site.node, 0], index)
    if site.skip is None or site.skip not in sparse:
        return target
    gone: Float32 = rows(dense[site.skip], index) - rows(sparse[site.skip], index)
    return np.add(target, gone)


def _rows(layer: Layer, shape: Sequence[int], share: float, batches: int, rng: np.random.Generator) -> Indices:
    """Flat output positions of one batch: stratified, so that every sample and every region is drawn from."""
    total = max(int(layer.geometry.positions(shape) * share), 1)
    want = ceil(max(ROWS_PER_COLUMN * layer.cols, FEWEST_ROWS) / batches)
    if want >= total:
        return np.arange(total)
    drawn: NDArray[np.intp] = ((np.arange(want) + rng.random(want)) * (total / want)).astype(np.intp)
    return drawn
