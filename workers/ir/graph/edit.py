"""Reading and writing the weights and biases of layers in an ov.Model."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.ir.graph.layers import Float32, Layer, nodes_by_name


def read_weight(model: ov.Model, layer: Layer) -> Float32:
    """The weight of a layer as a matrix (g, r, c) float32, a copy."""
    node = nodes_by_name(model)[layer.nodes[0]]
    tensor = node.input_value(layer.port).get_node().get_data().astype(np.float32)
    return np.array(layer.geometry.matrix(tensor))


def write_weight(model: ov.Model, layer: Layer, matrix: NDArray[np.floating]) -> None:
    """Replace the weight of a layer by `matrix` (g, r, c), for all operations that read it.

    The model keeps a float32 matrix where it lies, if it can, as do others that it is written to: nobody may change it then.
    """
    nodes = nodes_by_name(model)
    node = next((nodes[name] for name in layer.nodes if name in nodes), None)
    if node is None:
        return
    old = node.input_value(layer.port).get_node()
    tensor = np.require(layer.geometry.tensor(matrix.astype(np.float32, copy=False), layer.shape), requirements=("C", "W"))
    new = ops.constant(tensor, name=old.friendly_name, shared_memory=True)
    for reader in old.output(0).get_target_inputs():
        reader.replace_source_output(new.output(0))


@dataclass(frozen=True, slots=True)
class Bias:
    """Where the bias of one operation is added: the name of the Add and the shape of its constant."""

    add: str
    port: int
    shape: tuple[int, ...]


def find_bias(node: ov.Node, channels: int) -> Bias | None:
    """The Add of a constant per output channel that alone consumes a layer's output, if there is one."""
    users = list(node.output(0).get_target_inputs())
    if len(users) != 1 or users[0].get_node().get_type_name() != "Add":
        return None
    add = users[0].get_node()
    port = 1 - users[0].get_index()
    constant = add.input_value(port).get_node()
    shape = tuple(constant.shape) if constant.get_type_name() == "Constant" else ()
    aligned = bias_shape(node, channels)[-len(shape) :] if shape else None
    if shape != aligned or prod(shape) != channels or constant.get_element_type() != ov.Type.f32:
        return None  # one number for all channels is none for each
    return Bias(add.friendly_name, port, shape)


def bias_shape(node: ov.Node, channels: int) -> tuple[int, ...]:
    """The shape in which a vector over output channels broadcasts to a layer's output."""
    rank = node.get_output_partial_shape(0).rank.get_length()
    if node.get_type_name() != "MatMul":
        return (1, channels, *(1,) * (rank - 2))
    transposed = node.input_value(0).get_node().get_type_name() == "Constant"
    return (*(1,) * (rank - 2), channels, 1) if transposed else (*(1,) * (rank - 1), channels)


def ensure_bias(model: ov.Model, layers: Iterable[Layer]) -> dict[str, Bias]:
    """Give every operation of the layers an Add for its bias (zero where it had none); by operation name."""
    nodes = nodes_by_name(model)
    biases = {}
    for layer in layers:
        for name in layer.nodes:
            node = nodes[name]
            biases[name] = find_bias(node, layer.channels) or _insert_bias(node, bias_shape(node, layer.channels))
    model.validate_nodes_and_infer_types()
    return biases


def read_bias(model: ov.Model, bias: Bias) -> Float32:
    """The bias vector (channels,) float32."""
    add = nodes_by_name(model)[bias.add]
    return np.array(add.input_value(bias.port).get_node().get_data(), dtype=np.float32).reshape(-1)


def write_bias(model: ov.Model, bias: Bias, vector: NDArray[np.floating]) -> None:
    """Replace the bias by `vector` (channels,)."""
    add = nodes_by_name(model)[bias.add]
    old = add.input_value(bias.port).get_node()
    new = ops.constant(vector.astype(np.float32).reshape(bias.shape), name=old.friendly_name)
    add.input(bias.port).replace_source_output(new.output(0))


def _insert_bias(node: ov.Node, shape: tuple[int, ...]) -> Bias:
    output = node.output(0)
    users = list(output.get_target_inputs())
    constant = ops.constant(np.zeros(shape, np.float32), name=f"{node.friendly_name}/bias")
    add = ops.add(output, constant, name=f"{node.friendly_name}/add_bias")
    for user in users:
        user.replace_source_output(add.output(0))
    names = output.get_names()
    output.set_names(set())
    add.output(0).set_names(names)
    return Bias(add.friendly_name, 1, shape)
