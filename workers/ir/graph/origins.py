"""What the operations of a normalised model were called in the source, those included that normalisation has fused into others.

OpenVINO keeps count of what it fuses if every operation has a name of its own; so each gets a tag for the time being.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import openvino as ov

from workers.ir.graph.edit import find_bias
from workers.ir.graph.layers import COMPRESSIBLE, RECURRENT, find_layers, nodes_by_name

FUSED = "fused_names_0"  # where OpenVINO lists what an operation stands for
REPLACED = "fractune_replaces"  # where we do
TAG = re.compile(r"source:\d+")
UNNAMED = {"Constant", "Parameter", "Result"}  # no operations in the sense of a user


class SourceNode(NamedTuple):
    """An operation in the file of a framework."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """An operation before normalisation."""

    name: str  # "" where it is OpenVINO's own
    type: str
    node: SourceNode | None  # that it came from, where that is known
    produces: bool  # whether it computes an output of that node: of several that came from it, the last


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an operation came from: the names and types under which a user may know it."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def tag(model: ov.Model, sources: Mapping[str, SourceNode] | None, named: bool) -> dict[str, Tagged]:
    """Replace the names of all operations by tags; returns what they were.

    `sources` gives the nodes of the file by the tensors that they compute, where the format tells. `named` says whether names
    in the file are the operations' own, so that none was made up when it was read.
    """
    nodes = model.get_ordered_ops()
    made_up = re.compile(rf"({'|'.join(sorted({node.get_type_name() for node in nodes}))})_\d+")
    known = _sources(nodes, sources or {})
    tags = {}
    for number, node in enumerate(nodes):
        source, produces = known.get(node.get_name(), (None, False))
        name = node.friendly_name if named or not made_up.fullmatch(node.friendly_name) else ""
        if sources and source is not None:
            name = source.name if produces else ""
        tags[f"source:{number}"] = Tagged(name, node.get_type_name(), source, produces)
        node.friendly_name = f"source:{number}"
    return tags


def _sources(nodes: list[ov.Node], sources: Mapping[str, SourceNode]) -> dict[str, tuple[SourceNode, bool]]:
    """By operation: the node it came from, known by the tensors it computes, or else the node of what reads them."""
    found: dict[str, tuple[SourceNode, bool]] = {}
    for node in reversed(nodes if sources else []):
        if node.get_type_name() in UNNAMED:
            continue
        names = sorted(name for port in node.outputs() for name in port.get_names())
        own = next((sources[name] for name in names if name in sources), None)
        users = [user.get_node().get_name() for port in node.outputs() for user in port.get_target_inputs()]
        later = None if names else next((found[user][0] for user in users if user in found), None)
        if own or later:
            found[node.get_name()] = (own or later, own is not None)  # type: ignore[assignment]
    return found


def hand_on(old: ov.Node, new: ov.Node) -> None:
    """Let an operation that takes the place of another stand for all that the other stands for."""
    marks = old.get_rt_info()
    if FUSED in list(marks):
        new.get_rt_info()[REPLACED] = marks[FUSED].astype(str)


def name_operations(model: ov.Model, tags: Mapping[str, Tagged], inputs: Sequence[str]) -> dict[str, Origin]:
    """Replace tags by names that users recognise, that differ, and that are the same in every process; returns the origins.

    A layer has the name of its source node, whatever was fused with it; `inputs` have theirs; what has no name gets its type
    and place in the model.
    """
    for name, parameter in zip(inputs, model.get_parameters(), strict=True):
        parameter.friendly_name = name
    taken = set(inputs)
    origins: dict[str, Origin] = {}
    nodes = [(index, node) for index, node in enumerate(model.get_ordered_ops()) if node.get_type_name() != "Parameter"]
    fused = {node.get_name(): _fused(node, tags) for _, node in nodes}
    for index, node in sorted(nodes, key=lambda item: _rank(item[1])):
        name = _name(node, fused[node.get_name()], tags) or f"{node.get_type_name().lower()}_{index}"
        if re.fullmatch(rf"{node.get_type_name()}_\d+", name):  # a copy of the model could make the same name up
            name = name[0].lower() + name[1:]
        while name in taken:
            name = f"{name}~{index}"
        taken.add(name)
        node.friendly_name = name
        if node.get_type_name() not in UNNAMED:
            origins[name] = _origin(node, fused[node.get_name()])
    _with_biases(model, origins)
    return origins


def _rank(node: ov.Node) -> int:
    """Layers come first to a name."""
    return 0 if node.get_type_name() in COMPRESSIBLE | RECURRENT else 1


def _fused(node: ov.Node, tags: Mapping[str, Tagged]) -> list[Tagged]:
    """All that an operation stands for, what gave it its own type first."""
    marks = node.get_rt_info()
    texts = [node.friendly_name, *(marks[key].astype(str) for key in (FUSED, REPLACED) if key in list(marks))]
    found = [tags[name] for name in dict.fromkeys(TAG.findall(",".join(texts))) if name in tags]
    return sorted(found, key=lambda tagged: tagged.type != node.get_type_name())


def _name(node: ov.Node, fused: list[Tagged], tags: Mapping[str, Tagged]) -> str:
    kind = node.get_type_name()
    if kind in UNNAMED:
        found = tags.get(node.friendly_name)
        return found.name if found else ""
    for tagged in fused:
        if tagged.type == kind or tagged.produces:
            name = tagged.node.name if tagged.node and _rank(node) == 0 else tagged.name
            if name:
                return name
    return ""


def _origin(node: ov.Node, fused: list[Tagged]) -> Origin:
    known = [tagged for tagged in fused if tagged.type not in UNNAMED]
    names = [name for tagged in known for name in (tagged.name, tagged.node.name if tagged.node else "") if name]
    types = [tagged.node.type for tagged in known if tagged.node and tagged.type == node.get_type_name()]
    return Origin(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(types)))


def _with_biases(model: ov.Model, origins: dict[str, Origin]) -> None:
    """A layer is known by the names of the Add of its bias too."""
    nodes = nodes_by_name(model)
    for layer in find_layers(model)[0]:
        for name in layer.nodes:
            bias = find_bias(nodes[name], layer.channels)
            if bias is None:
                continue
            own, added = origins[name], origins.pop(bias.add)
            origins[name] = replace(own, names=tuple(dict.fromkeys((*own.names, *added.names))))
            if not added.names or set(added.names) <= set(own.names):
                nodes[bias.add].friendly_name = f"{name}/add_bias"
            origins[nodes[bias.add].friendly_name] = added
