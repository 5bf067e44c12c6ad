"""Names that users recognise, that differ, and that are the same in every process."""

import re

import openvino as ov

from workers.ir.graph.edit import find_bias
from workers.ir.graph.layers import find_layers, nodes_by_name


def name_tensors(model: ov.Model) -> None:
    """Give inputs and outputs without a tensor name one; older IRs have none."""
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        if not port.get_names():
            port.set_names({parameter.friendly_name})
    for number, result in enumerate(model.get_results()):
        source = result.input_value(0)
        if not source.get_names():
            source.set_names({source.get_node().friendly_name if source.get_index() == 0 else f"output_{number}"})


def operation_types(model: ov.Model) -> set[str]:
    """The kinds of operation in a model; OpenVINO makes names up from them."""
    return {node.get_type_name() for node in model.get_ops()}


def name_operations(model: ov.Model, types: set[str]) -> None:
    """Replace names that OpenVINO made up from `types` and a counter of the process, and make all names differ.

    A layer takes the name that the source gave it: with a bias, OpenVINO gives that name to the Add.
    """
    made_up = re.compile(rf"({'|'.join(sorted(types))})_\d+")
    nodes = list(enumerate(model.get_ordered_ops()))
    taken: set[str] = set()
    for index, node in sorted(nodes, key=lambda item: bool(made_up.fullmatch(item[1].friendly_name))):
        name = _indexed(node, index) if made_up.fullmatch(node.friendly_name) else node.friendly_name
        while name in taken:
            name = f"{name}~{index}"
        taken.add(name)
        node.friendly_name = name
    _name_biases(model, {_indexed(node, index) for index, node in nodes})


def _indexed(node: ov.Node, index: int) -> str:
    return f"{node.get_type_name().lower()}_{index}"


def _name_biases(model: ov.Model, made_up: set[str]) -> None:
    nodes = nodes_by_name(model)
    for layer in find_layers(model)[0]:
        for name in layer.nodes:
            bias = find_bias(nodes[name], layer.channels)
            if bias is not None:
                given = name if bias.add in made_up else bias.add
                nodes[name].friendly_name, nodes[bias.add].friendly_name = given, f"{given}/add_bias"
