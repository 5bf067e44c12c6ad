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
from workers.engine.moments import ImpliedOutputs, InputMoments, OriginalInputs, OutputMoments, Outputs
from workers.ir.graph.edit import Bias
from workers.ir.graph.frontier import Batch
from workers.ir.graph.layers import Float32, Geometry, Indices, Layer, nodes_by_name
from workers.ir.graph.segments import Key, tensor_key
from workers.randomness import Stream, generator
from workers.threads import ALONE, Threads

ROWS_PER_COLUMN = 10  # rows that the statistics of a layer are taken from, per column
FEWEST_ROWS = 16_384
FEWEST_ROWS_OF_GROUP = 2048  # where every group of a convolution has its own few columns
ROWS_AT_ONCE = 1024  # that a product takes
VALUES_AT_ONCE = 2**22  # that wait for a product


@dataclass(frozen=True, slots=True)
class Site:
    """Where one operation of a layer reads its input, and what is added to its output further on."""

    layer: Layer
    geometry: Geometry  # of the operation
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
            sites.append(Site(layer, layer.geometry_of(name), weight, name, source, _skip(nodes[biases[name].add])))
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
    same way share their rows and their input statistics. Beside the rows that a layer gets stand its targets, or, where these
    are no narrower and follow from them, the rows that the original reads. Rows are gathered until they are ROWS_AT_ONCE, for a
    product of many rows is faster than many of few. Which rows are drawn follows from the seed and the number of the batch,
    whatever other sites there are.
    """

    def __init__(
        self, sites: Sequence[Site], batches: int, seed: int, phase: int, own: bool = False, threads: Threads = ALONE
    ) -> None:
        """`own` says that the layers run in one model alone, whose outputs follow from the inputs."""
        self._sites, self._threads = sites, threads
        self._batches = batches
        self._seed, self._phase, self._own = seed, phase, own
        self._drawn = self._seen = 0  # batches
        self._waiting: deque[tuple[dict[object, Indices], dict[object, Float32]]] = deque()  # drawn, and not added yet
        self._inputs: dict[object, InputMoments] = {}
        self._beside: dict[object, OutputMoments] = {}  # of targets, by operation, and of the original's inputs, by reading
        self._rows: dict[tuple[object, int], list[Float32]] = {}  # of a reading in one half of the batches, (g, n, c) each
        self._others: dict[tuple[object, int], list[Float32]] = {}  # the rows beside them, (g, n, r) or (g, n, c) each
        for site in sites:
            inputs = self._inputs.setdefault(_reading(site), InputMoments(threads))
            if not own:
                beside = OriginalInputs(inputs) if _implied(site) else OutputMoments(inputs)
                self._beside.setdefault(_kept(site), beside)

    def draw(self, dense: Batch, share: float) -> None:
        """Draw the rows of a batch: its tensors in the original, and how much of it is no padding. Keep what stands beside."""
        rng = (self._seed, Stream.STATISTICS_ROWS, self._phase, self._drawn)
        self._drawn += 1
        index: dict[object, Indices] = {}
        inputs: dict[object, Float32] = {}
        beside: dict[object, Float32] = {}
        for site in self._sites:
            reading = _reading(site)
            if reading not in index:
                index[reading] = _rows(site, dense[site.source].shape, share, self._batches, generator(*rng))
                if not self._own:
                    inputs[reading] = site.geometry.input_rows(dense[site.source], index[reading])
            if not self._own:
                found = inputs[reading]
                beside[_kept(site)] = found if _implied(site) else self._target(site, dense, index[reading], found)
        self._waiting.append((index, beside))

    def add(self, sparse: Batch) -> None:
        """Count the batch that was drawn before all others: its tensors in the compressed model."""
        index, beside = self._waiting.popleft()
        half = self._seen % 2
        self._seen += 1
        read: set[object] = set()
        for site in self._sites:
            reading, geometry = _reading(site), site.geometry
            if reading not in read:
                read.add(reading)
                found = geometry.input_rows(sparse[site.source], index[reading])
                self._rows.setdefault((reading, half), []).append(found)
            if beside and site.skip is not None:
                beside[site.node] -= geometry.output_rows(sparse[site.skip], index[reading])
        for key, rows in beside.items():
            self._others.setdefault((key, half), []).append(rows)
        for (reading, number), parts in self._rows.items():
            if sum(part.shape[1] for part in parts) >= ROWS_AT_ONCE or sum(part.size for part in parts) >= VALUES_AT_ONCE:
                self._count(reading, number)

    def outputs(self) -> Outputs:
        """The statistics of all that was added, by operation."""
        for (reading, half), rows in self._rows.items():
            if rows:
                self._count(reading, half)
        return {site.node: self._output(site) for site in self._sites}

    def _output(self, site: Site) -> OutputMoments | ImpliedOutputs:
        inputs, beside = self._inputs[_reading(site)], self._beside.get(_kept(site))
        if beside is not None and not isinstance(beside, OriginalInputs):
            return beside
        return ImpliedOutputs(inputs, site.weight.astype(np.float64), beside)

    def _target(self, site: Site, dense: Batch, index: Indices, inputs: Float32) -> Float32:
        """The output rows at `index` of the original, but for the bias, and what is added to them; of its `inputs` there."""
        target: Float32 = self._threads.product(inputs, site.weight.swapaxes(1, 2))
        if site.skip is not None:
            target += site.geometry.output_rows(dense[site.skip], index)
        return target

    def _count(self, reading: object, half: int) -> None:
        inputs = self._inputs[reading]
        shifted = inputs.add(_joined(self._rows[reading, half]), half)
        for key, moments in self._beside.items():
            if moments.inputs is inputs:
                moments.add(_joined(self._others[key, half]), shifted)


def _joined(parts: list[Float32]) -> Float32:
    """Rows of several batches as one, out of the list."""
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    parts.clear()
    return rows


def _reading(site: Site) -> object:
    return site.source, site.geometry


def _implied(site: Site) -> bool:
    """Whether targets follow from what the layer reads in the original, which is no wider."""
    _, rows, cols = site.weight.shape
    return site.skip is None and rows >= cols


def _kept(site: Site) -> object:
    """By what the rows go that stand beside those that a layer gets."""
    return _reading(site) if _implied(site) else site.node


def target_bytes(site: Site) -> int:
    """What all rows that stand beside those of a site take at the most."""
    groups, rows, cols = site.weight.shape
    return 4 * _wanted(site) * int(groups * (cols if _implied(site) else rows))


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
    total = max(int(site.geometry.input_positions(shape) * share), 1)
    want = ceil(_wanted(site) / batches)
    if want >= total:
        return np.arange(total)
    drawn: NDArray[np.intp] = ((np.arange(want) + rng.random(want)) * (total / want)).astype(np.intp)
    return drawn
