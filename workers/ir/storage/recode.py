"""The constants of a whole model, each in its smallest form."""

from collections.abc import Iterator, Mapping

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.ir.graph.constants import run_time_constants
from workers.ir.storage.encode import Encoded, encode, encode_integers
from workers.ir.storage.graph import Graph, Index

SMALLEST = 256  # elements: below, one operation of .xml outweighs what a narrower type saves


def recode(model: ov.Model, steps: Mapping[str, NDArray[np.floating]] | None = None) -> dict[str, Encoded]:
    """Store the weights of `model`, in place, in fewer bytes; the forms by the constants' names.

    A float32 constant decodes to float32, or, where `steps` gives the step of a constant, from integers times it. An int8
    constant behind a Convert, as NNCF writes it, decodes through integers to int8, so that int8 kernels are kept. The
    decoder's last operation takes over the name of the constant, and its tensor names. Weights that are decoded as the model
    runs stay as they are: kernels know them by their form.
    """
    found = {}
    indices: dict[Index, ov.Output] = {}
    for node in list(_weights(model)):
        name = node.friendly_name
        graph = Graph(name, indices)
        if node.get_element_type() == ov.Type.i8:
            stored = encode_integers(node.get_data(), graph)
        else:
            stored = encode(node.get_data(), graph, step=(steps or {}).get(name))
        if stored.output.get_node().get_type_name() != "Constant":
            _replace(node, stored.output)
        found[name] = stored
    model.validate_nodes_and_infer_types()
    return found


def _weights(model: ov.Model) -> Iterator[ov.Node]:
    kept = run_time_constants(model)
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or int(np.prod(node.shape)) < SMALLEST or node.friendly_name in kept:
            continue
        users = {target.get_node().get_type_name() for target in node.output(0).get_target_inputs()}
        is_float = node.get_element_type() == ov.Type.f32 and "FakeQuantize" not in users
        if is_float or (node.get_element_type() == ov.Type.i8 and users == {"Convert"}):
            yield node


def _replace(constant: ov.Node, decoded: ov.Output) -> None:
    old = constant.output(0)
    names = old.get_names()
    old.set_names(set())
    decoded.set_names(names)
    decoded.get_node().friendly_name = constant.friendly_name
    for target in old.get_target_inputs():
        target.replace_source_output(decoded)
