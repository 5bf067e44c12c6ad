"""Whether a model is one that compression makes sense of; OpenVINO accepts many that are not."""

import numpy as np
import openvino as ov

from workers.errors import (
    AlreadyQuantized,
    IncompleteModel,
    NonFiniteModel,
    NothingToCompress,
    UnreadableModel,
    UnsupportedOperation,
)
from workers.ir.graph.layers import COMPRESSIBLE, INTEGERS, RECURRENT, find_layers

NUMBERS = {"f32", "f16", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "boolean"}
LARGEST = 1e15  # of weights that anything can be done with
DECODING = {"Convert", "Subtract", "Multiply", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Gather", "FakeQuantize"}


def check_names(model: ov.Model) -> None:
    """Raise UnreadableModel for names that are not text; reading one would raise where nobody expects it."""
    try:
        for node in model.get_ordered_ops():
            _ = node.friendly_name, [port.get_names() for port in node.outputs()]
    except UnicodeDecodeError as error:
        raise UnreadableModel("A name in the model is not valid UTF-8.") from error


def check_complete(model: ov.Model) -> None:
    """Raise IncompleteModel or UnsupportedOperation for a graph that lacks an end, or whose ends are not arrays of numbers."""
    for what, ports in (("inputs", model.inputs), ("outputs", model.outputs)):
        if not ports:
            raise IncompleteModel(f"The model has no {what}.")
    for port in model.inputs:
        kind = port.get_element_type().get_type_name()
        if kind not in NUMBERS:
            raise UnsupportedOperation(
                f"Input {port.get_any_name()!r} is of type {kind}.", hint="Give a model whose inputs are numbers."
            )


RANDOM = {"RandomUniform", "Multinomial", "RandomPoisson"}


def check_deterministic(model: ov.Model) -> None:
    """Raise UnsupportedOperation for a model that draws random numbers: no two of its answers can be compared."""
    for node in model.get_ordered_ops():
        if node.get_type_name() in RANDOM:
            raise UnsupportedOperation(
                f"The model draws random numbers ({node.get_type_name()} {node.friendly_name!r}): no two runs of it agree.",
                hint="Export the model for inference, or give the random numbers as an input.",
            )


def check_not_quantized(model: ov.Model) -> None:
    """Raise AlreadyQuantized where activations pass quantisers or a layer's weights are stored in 8 bits or fewer."""
    nodes = model.get_ordered_ops()
    quantizers = sum(node.get_type_name() == "FakeQuantize" for node in nodes)
    layers = [node for node in nodes if node.get_type_name() in COMPRESSIBLE]
    narrow = sum(any(_stored_bits(value.get_node()) <= 8 for value in node.input_values()) for node in layers)
    if quantizers or narrow:
        raise AlreadyQuantized(
            f"The model is quantised already: {narrow} of {len(layers)} layers keep weights in 8 bits or fewer, "
            f"and {quantizers} tensors pass a quantiser."
        )


def _stored_bits(node: ov.Node) -> int:
    """Bits per element of the Constant that `node` decodes step by step; 64 where there is none."""
    for _ in range(8):
        if node.get_type_name() == "Constant":
            return int(node.get_element_type().bitwidth)
        if node.get_type_name() not in DECODING:
            break
        node = node.input_value(0).get_node()
    return 64


def check_finite(model: ov.Model) -> None:
    """Raise NonFiniteModel for NaN in any constant, infinity in the weight or bias of a layer, weights past LARGEST.

    Infinity elsewhere is an ordinary mask or bound.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32 or 0 in node.shape:
            continue
        low, high = float(node.data.min()), float(node.data.max())
        users = [user.get_node() for user in node.output(0).get_target_inputs()]
        if np.isfinite(low) and np.isfinite(high):
            large = next((user for user in users if user.get_type_name() in COMPRESSIBLE and max(-low, high) > LARGEST), None)
            if large is not None:
                what = f"{large.get_type_name()} {large.friendly_name!r} reach {max(-low, high):.1g}"
                raise NonFiniteModel(f"The weights of {what}: squares of what it gives do not fit into single precision.")
            continue
        layer = next((user for user in users if _belongs_to_layer(user)), None)
        if np.isnan(low) or layer is not None:
            named = layer or users[0]
            what = "NaN" if np.isnan(low) else "infinity"
            raise NonFiniteModel(f"The weights of {named.get_type_name()} {named.friendly_name!r} hold {what}.")


def _belongs_to_layer(user: ov.Node) -> bool:
    if user.get_type_name() in COMPRESSIBLE:
        return True
    inputs = [value.get_node() for value in user.input_values()]
    layers = [node for node in inputs if node.get_type_name() in COMPRESSIBLE]
    return user.get_type_name() == "Add" and any(_stored_bits(layer.input_value(1).get_node()) < 64 for layer in layers)


def check_has_layers(model: ov.Model) -> None:
    """Raise NothingToCompress for a model without constant weights; those of recurrent cells only `int8` reaches.

    AlreadyQuantized where products of integers are all that there is.
    """
    layers, skipped = find_layers(model)
    whole = [entry.name for entry in skipped if entry.reason == INTEGERS]
    if whole and not layers:
        raise AlreadyQuantized(
            f"The model is quantised already: {len(whole)} layers compute with integers, {whole[0]!r} first."
        )
    if not layers and not any(entry.type in RECURRENT | {"Gather", "Einsum"} for entry in skipped):
        reasons = "; ".join(f"{layer.name}: {layer.reason}" for layer in skipped[:5])
        raise NothingToCompress(f"The model has no layer that Fractune can compress ({reasons or 'it has no weights'}).")
