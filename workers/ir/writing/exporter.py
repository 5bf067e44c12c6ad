"""Write a compressed model as OpenVINO IR, every weight in its smallest lossless form, and prove what was written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.graph.constants import constants_of, merge_constants
from workers.ir.graph.layers import Layer
from workers.ir.graph.probe import Values
from workers.ir.storage import Encoded, constant_values, entropy_bits, recode
from workers.ir.writing.deterministic_names import number_operations
from workers.ir.writing.round_trip_check import prove_same
from workers.ir.writing.writer import SavedSize, save_model, size_on_disk
from workers.threads import ALONE, Threads

SECTION = "fractune"  # of the model's rt_info
PLAIN = ("f32", "i8")

Steps = Sequence[tuple[Layer, NDArray[np.floating] | None]]


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """How the weights of one layer are stored."""

    name: str
    weights: int
    scheme: str
    bytes: int  # of the constants in the .bin that the weights are decoded from, scales and tables included
    bits: float  # the same, per weight
    entropy_bits: float  # per weight, of an ideal code for the values; see `storage.entropy_bits`


@dataclass(frozen=True, slots=True)
class Exported:
    """A model on disk."""

    xml: Path
    bin: Path
    size: SavedSize
    layers: tuple[StoredLayer, ...]

    @property
    def entropy_bits(self) -> float:
        """Bits per weight of an ideal code, over all layers; 0 where there are none."""
        bits = sum(layer.entropy_bits * layer.weights for layer in self.layers)
        return bits / max(sum(layer.weights for layer in self.layers), 1)


def export(
    model: ov.Model,
    layers: Steps,
    folder: Path,
    metadata: Mapping[str, str],
    probes: Sequence[Values] = (),
    threads: Threads = ALONE,
) -> Exported:
    """Write `model` as `folder`/1/model.xml and .bin; the same model gives the same bytes in every process.

    `layers` gives the compressed layers with their `LayerSolution.scale`, which broadcasts to a layer's matrix (g, r, c).
    `metadata` becomes rt_info of the section `fractune`, and so do, as JSON by name, the schemes of the layers that are not
    stored plainly. What was written is read back and compared with `model`, on the inputs `probes` or, without any, on made-up
    ones whose open axes are one: raises Internal if any output or constant differs. `threads` share the sizes in a zip.
    """
    meant = model.clone()
    number_operations(meant)
    written = meant.clone()
    weights = {layer.name: constants_of(meant, layer) for layer, _ in layers}
    steps = _steps(layers, weights)
    stored = recode(written, steps)
    merge_constants(written)
    rows = tuple(_row(written, layer, weights[layer.name], stored, steps) for layer, _ in layers)
    schemes = {row.name: row.scheme for row in rows if row.scheme not in PLAIN}
    described = dict(metadata) | {"layers": json.dumps(schemes, ensure_ascii=False)}
    for key in sorted(described):
        written.set_rt_info(described[key], [SECTION, key])
    xml = folder / "1" / "model.xml"
    save_model(written, xml)
    prove_same(meant, ov.Core().read_model(xml), probes)
    return Exported(xml, xml.with_suffix(".bin"), size_on_disk(xml, threads), rows)


def _steps(layers: Steps, weights: Mapping[str, list[ov.Node]]) -> dict[str, NDArray[np.float32]]:
    """The steps for the weight tensors, by the names of the constants that hold float weights."""
    steps = {}
    for layer, step in layers:
        weight = weights[layer.name][0]
        if step is not None and weight.get_element_type() == ov.Type.f32:
            matrix = layer.geometry.matrix(np.empty(layer.shape, np.float32)).shape
            full = np.broadcast_to(step.astype(np.float32), matrix)
            steps[weight.friendly_name] = layer.geometry.tensor(full, layer.shape)
    return steps


def _row(
    model: ov.Model,
    layer: Layer,
    constants: Sequence[ov.Node],
    stored: Mapping[str, Encoded],
    steps: Mapping[str, NDArray[np.float32]],
) -> StoredLayer:
    weight, *scales = constants
    name = weight.friendly_name
    scheme = stored[name].scheme if name in stored else weight.get_element_type().to_string()
    size = sum(node.get_byte_size() for node in constants_of(model, layer))
    entropy = entropy_bits(constant_values(weight), sum(scale.get_data().size for scale in scales), steps.get(name))
    return StoredLayer(layer.name, layer.size, scheme, size, 8 * size / layer.size, entropy)
