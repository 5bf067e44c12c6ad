"""`layerwise_pruning` with `pattern: channel`: whole channels chosen, made up for, and taken out of the graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.engine.collect import pose_layers
from workers.engine.layer import LayerResult, make_tasks
from workers.errors import BudgetOutOfReach
from workers.ir.channels.groups import Coupling, couple, shape_of
from workers.ir.channels.removal import remove_channels
from workers.ir.graph.edit import read_weight
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.reading.batching import batched
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask
from workers.methods.solvers.channel_selection import LEAST_KEPT, Reader, elimination, solve_kept_columns
from workers.passes.layerwise import solve_layers
from workers.passes.output_error import check_equivalence
from workers.passes.state import CompressionState, RunContext, StepProgress

Indices = NDArray[np.intp]

LEAST_HARM = 1e-4  # of a unit of relative error: what the samples of a profile show no harm of may still matter to others


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that the same layers write and read, in the order in which they are missed least."""

    order: Indices  # roots
    costs: Array  # rise of the readers' relative errors, by what these harm, channel after channel
    channels: int
    writes: Mapping[str, int]  # output channels of a layer that one of these stands for
    reads: Mapping[str, int]  # its input channels


@dataclass(frozen=True, slots=True)
class KeptColumns:
    """Answers a layer's problem with some columns zero in all rows, the others re-solved."""

    kept: Mask  # (c,)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """The least squares solution on the kept columns."""
        return LayerSolution(solve_kept_columns(problem, self.kept))


class Sizes:
    """What is left of every layer while channels go: weights, or multiply-accumulates."""

    def __init__(self, layers: Sequence[Layer], model: ov.Model, budget: str) -> None:
        nodes = nodes_by_name(model)
        self.outputs = {layer.name: layer.channels for layer in layers}
        self.inputs = {layer.name: layer.cols for layer in layers}  # columns
        self.factor = {layer.name: 1 if budget == "weights" else _positions(nodes[layer.nodes[0]], layer) for layer in layers}

    @property
    def total(self) -> int:
        """Of all layers together."""
        return sum(self.factor[name] * self.outputs[name] * self.inputs[name] for name in self.factor)

    def saving(self, group: Group, columns: Mapping[str, int]) -> int:
        """What one channel of the group takes with it; `columns` are those of one input channel, by layer."""
        lost = sum(self.factor[name] * count * self.inputs[name] for name, count in group.writes.items())
        return lost + sum(self.factor[name] * self.outputs[name] * count * columns[name] for name, count in group.reads.items())

    def take(self, group: Group, columns: Mapping[str, int]) -> None:
        """Let one channel of the group go."""
        for name, count in group.writes.items():
            self.outputs[name] -= count
        for name, count in group.reads.items():
            self.inputs[name] -= count * columns[name]


def rewrite(step: LayerwisePruning, state: CompressionState, context: RunContext, progress: StepProgress) -> CompressionState:
    """Choose channels, re-solve every layer without them, and remove them; the outputs must survive the removal.

    Raises BudgetOutOfReach where the channels that can be removed do not make up the share that is asked for.
    """
    model = state.model
    layers = [layer for layer in find_layers(model)[0] if not set(layer.readers) & context.excluded.keys()]
    coupling = couple(model, layers)
    problems = _pose(state, layers, context, progress)
    removed = _choose(step, layers, coupling, problems, model, context.harms or {})
    del problems
    masks = {layer.name: _kept_columns(layer, coupling, removed) for layer in layers}
    plan = [(layer, (KeptColumns(masks[layer.name]),)) for layer in layers]
    solved = {result.layer.name: result for result in solve_layers(state, plan, context, _half(progress, 1))}
    before = model.clone()
    remove_channels(model, couple(model, layers), removed)  # the same numbers, and the biases that solving has added
    check_equivalence(before, model, context, step.method)
    results = dict(_results(step, state, coupling, removed, solved))
    for result in results.values():
        context.on_layer(result)
    return replace(state, results={**state.results, **results})


def _half(progress: StepProgress, half: int) -> StepProgress:
    """Tells `progress` of a sweep that is the first or second `half` of the step."""

    def tell(done: int, total: int, layer: str | None = None, message: str = "") -> None:
        progress(half * total + done, 2 * total, layer, message)

    return tell


def _pose(
    state: CompressionState, layers: Sequence[Layer], context: RunContext, progress: StepProgress
) -> dict[str, LayerProblem]:
    """The problems of all layers in the model as it stands, by name."""
    tasks = make_tasks(state.model, [(layer, ()) for layer in layers], state.results)
    problems: dict[str, LayerProblem] = {}
    tell = _half(progress, 0)
    for problem in pose_layers(batched(state.model, context.batch_size), tasks, context.samples, context.engine):
        problems[problem.name] = problem
        tell(len(problems), len(layers), problem.name)
    return problems


def _choose(
    step: LayerwisePruning,
    layers: Sequence[Layer],
    coupling: Coupling,
    problems: Mapping[str, LayerProblem],
    model: ov.Model,
    harms: Mapping[str, float],
) -> Mask:
    """Which channels go, by number; `harms` are those of a unit of a layer's relative error, 1 for layers without."""
    groups = list(_groups(layers, coupling, problems, harms))
    sizes = Sizes(layers, model, step.budget)
    columns = {layer.name: _columns_each(layer, coupling) for layer in layers}
    whole = sizes.total
    goal = (1 - step.sparsity_level) * whole
    taken = [0] * len(groups)
    removed: set[int] = set()
    while sizes.total > goal:
        open_groups = [number for number, group in enumerate(groups) if taken[number] < group.order.size]
        if not open_groups:
            reach = 1 - sizes.total / whole
            hint = None if reach else "Take another pattern: of this model no channel can go."
            raise BudgetOutOfReach(_out_of_reach(step, reach, coupling), hint=hint)

        def price(number: int) -> float:
            group, count = groups[number], taken[number]
            if step.allocation == "uniform":
                return count / group.channels
            return float(group.costs[count]) / max(sizes.saving(group, columns), 1)

        number = min(open_groups, key=price)
        group = groups[number]
        removed.add(int(group.order[taken[number]]))
        sizes.take(group, columns)
        taken[number] += 1
    roots = coupling.root(np.arange(len(coupling.parents)))
    return np.isin(roots, sorted(removed))


def _out_of_reach(step: LayerwisePruning, reach: float, coupling: Coupling) -> str:
    reasons = sorted(set(coupling.reasons().values()))[:3]
    why = f" Others stay: {'; '.join(reasons)}." if reasons else ""
    return (
        f"Channels that can be removed make up {100 * reach:.0f} % of the {step.budget}, "
        f"less than the {100 * step.sparsity_level:.0f} % asked for.{why}"
    )


def _groups(
    layers: Sequence[Layer], coupling: Coupling, problems: Mapping[str, LayerProblem], harms: Mapping[str, float]
) -> Iterator[Group]:
    """All groups of channels that may go."""
    locked = coupling.reasons()
    writers, readers = _members(coupling.outputs, coupling), _members(coupling.inputs, coupling)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for root in sorted(set(writers) & set(readers)):
        if root not in locked:
            alike[_signature(writers[root]), _signature(readers[root])].append(root)
    by_name = {layer.name: layer for layer in layers}
    for roots in alike.values():
        names = sorted(readers[roots[0]])
        reading = [_reader(by_name[name], problems[name], coupling, roots, harms.get(name, 1.0)) for name in names]
        useful = [reader for reader in reading if reader.energy > 0]
        most = min(int((1 - LEAST_KEPT) * len(roots)), len(roots) - 1)
        if most < 1:
            continue
        order, costs = elimination(useful, most) if useful else (np.arange(most), np.zeros(most))
        yield Group(
            np.array(roots, np.intp)[order],
            np.maximum.accumulate(costs),
            len(roots),
            {name: len(where) for name, where in writers[roots[0]].items()},
            {name: len(where) for name, where in readers[roots[0]].items()},
        )


Members = dict[int, dict[str, list[int]]]  # by root, by layer: positions among the layer's channels


def _members(numbers: Mapping[str, Indices], coupling: Coupling) -> Members:
    found: Members = defaultdict(lambda: defaultdict(list))
    for name, vector in numbers.items():
        for position, root in enumerate(coupling.root(vector)):
            found[int(root)][name].append(position)
    return found


def _signature(where: Mapping[str, list[int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, len(positions)) for name, positions in where.items()))


def _reader(layer: Layer, problem: LayerProblem, coupling: Coupling, roots: Sequence[int], harm: float) -> Reader:
    each = _columns_each(layer, coupling)
    owners = coupling.root(coupling.inputs[layer.name])
    at = {root: number for number, root in enumerate(roots)}
    columns: list[list[int]] = [[] for _ in roots]
    for position, root in enumerate(owners.tolist()):
        if root in at:
            columns[at[root]] += range(position * each, (position + 1) * each)
    energy = float(np.sum((problem.original @ problem.hessian) * problem.original))
    return Reader(problem, energy, np.array(columns, np.intp), max(harm, LEAST_HARM))


def _columns_each(layer: Layer, coupling: Coupling) -> int:
    """Columns of one input channel of a layer."""
    return layer.cols // coupling.inputs[layer.name].size if layer.name in coupling.inputs else 0


def _kept_columns(layer: Layer, coupling: Coupling, removed: Mask) -> Mask:
    if layer.name not in coupling.inputs:
        return np.ones(layer.cols, np.bool_)
    return np.repeat(~removed[coupling.inputs[layer.name]], _columns_each(layer, coupling))


def _results(
    step: LayerwisePruning, state: CompressionState, coupling: Coupling, removed: Mask, solved: Mapping[str, LayerResult]
) -> Iterator[tuple[str, LayerResult]]:
    """The results of solving, with what is left of every layer."""
    for layer in find_layers(state.model)[0]:
        if layer.name not in solved:
            continue
        result = solved[layer.name]
        earlier = state.results.get(layer.name)
        kept = np.arange(result.layer.channels)
        if layer.name in coupling.outputs:
            kept = np.flatnonzero(~removed[coupling.outputs[layer.name]])
        yield (
            layer.name,
            replace(
                result,
                layer=layer,
                steps=(*(earlier.steps if earlier else ()), step),
                weight=read_weight(state.model, layer).astype(np.float64),
                biases={name: vector[kept] for name, vector in result.biases.items()},
                channels=kept if result.channels is None else result.channels[kept],
            ),
        )


def _positions(node: ov.Node, layer: Layer) -> int:
    """Output positions of a layer for one sample, open axes counted once."""
    return layer.geometry.positions([max(size, 1) for size in shape_of(node.output(0))])
