"""What a recipe will do to a model: which layers it changes, by which methods and passes, and what it leaves alone.

Consecutive methods solve their layers together; a step that rewrites the graph stands by itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

import numpy as np

from workers.errors import MissingExtra, NothingToCompress
from workers.ir.channels.net2net import deepen, widen
from workers.ir.graph.edit import read_weight
from workers.ir.graph.ignored_scope import excluded_operations
from workers.ir.graph.layers import Layer, find_layers, find_tables
from workers.ir.reading.importer import Imported
from workers.methods.ignored_scope import IgnoredScope
from workers.methods.int8 import Int8
from workers.methods.problem import Array, Method, PerLayer, Step
from workers.methods.super_network import SuperNetwork
from workers.methods.weight_compression import WeightCompression
from workers.randomness import Stream, generator
from workers.recipe import Recipe
from workers.recipe.skipped_layer import SkippedLayer

LayerMethods = Mapping[str, tuple[Method, ...]]  # the methods that solve a layer one after another, by its name
Part = LayerMethods | Step  # methods, or a step that rewrites the graph


@dataclass(frozen=True, slots=True)
class CompressionPlan:
    """What a recipe will do to a model."""

    imported: Imported  # with the model that is compressed, larger than the original where the recipe asks for that
    parts: tuple[Part, ...]
    layers: tuple[Layer, ...]  # that it may change
    skipped: tuple[SkippedLayer, ...]  # weights that it does not reach, with the reason
    excluded: Mapping[str, str]  # operations to leave alone, and the rule of the ignored scope that says so
    left: Mapping[str, str] = field(default_factory=dict)  # layers that a step leaves alone, and its rule that says so
    tables: tuple[Layer, ...] = ()  # of embeddings, that methods which store tables may change too
    growth: SuperNetwork | None = None  # by which the model is larger: it is then to be seen to compute the same

    @property
    def work(self) -> int:
        """Layers to change, counted once for every part."""
        return sum(map(self.work_of, self.parts))

    def work_of(self, part: Part) -> int:
        """What one of `parts` adds to `work`."""
        return len(self.layers) if isinstance(part, Step) else len(part)

    @property
    def solves(self) -> bool:
        """Whether layers are solved at all, and not only rewritten."""
        return any(not isinstance(part, Step) for part in self.parts)

    def with_steps(self, steps: Sequence[Step]) -> "CompressionPlan":
        """The plan for the same model and layers by the same steps with other knobs."""
        return replace(self, parts=_parts(steps, self.imported, self.layers, self.tables))


def make_plan(imported: Imported, recipe: Recipe) -> CompressionPlan:
    """The plan of a recipe; the imported model stays as it is.

    Raises NotExtensible where it cannot be made larger, UnmatchedScope for a rule that matches nothing, MissingExtra for a step
    that needs what is not installed, and NothingToCompress when no layer remains.
    """
    growth = next((step for step in recipe.steps if isinstance(step, SuperNetwork)), None)
    imported = replace(imported, model=imported.model.clone())
    if growth:
        grow(imported, growth, generator(recipe.seed, Stream.GROWTH))
    layers, skipped = find_layers(imported.model)
    excluded = excluded_operations(imported.model, recipe.ignored_scope, imported.origins)
    rules = {layer.name: excluded[name] for layer in layers for name in layer.readers if name in excluded}
    chosen = tuple(layer for layer in layers if layer.name not in rules)
    skipped += [SkippedLayer(layer.name, layer.type, rules[layer.name]) for layer in layers if layer.name in rules]
    for step in recipe.steps:
        _check_means(step, imported)
    others = not layers and any(isinstance(step, (Int8, WeightCompression)) for step in recipe.steps)  # NNCF reaches more
    tables = tuple(table for table in find_tables(imported.model) if excluded.keys().isdisjoint(table.nodes))
    parts = _parts(recipe.steps, imported, chosen, tables) if chosen or tables or others else ()
    if not parts:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:5])
        raise NothingToCompress(f"No layer is left to compress ({reasons or 'the model has no layers with constant weights'}).")
    reached = {name for part in parts if not isinstance(part, Step) for name in part}
    unreached = tuple(entry for entry in skipped if entry.name not in reached)
    left = _left_by_steps(recipe, imported, chosen)
    return CompressionPlan(imported, parts, chosen, unreached, excluded, left, tables, growth)


def _left_by_steps(recipe: Recipe, imported: Imported, layers: Sequence[Layer]) -> dict[str, str]:
    """The layers that steps leave alone by their own scopes, and why."""
    scopes = [step.own_scope for step in recipe.steps if step.own_scope is not None]
    rules = [excluded_operations(imported.model, scope, imported.origins) for scope in scopes]
    return {layer.name: found[name] for found in rules for layer in layers for name in layer.readers if name in found}


def grow(imported: Imported, step: SuperNetwork, rng: np.random.Generator) -> None:
    """Make the model larger in place; it computes the same. Raises NotExtensible where that cannot be done."""
    if (width := step.width**step.phi) > 1:
        widen(imported.model, find_layers(imported.model)[0], width, rng)
    if (depth := step.depth**step.phi) > 1:
        deepen(imported.model, find_layers(imported.model)[0], depth)


def _check_means(step: Step, imported: Imported) -> None:
    """Refuse, before anything runs, what a step needs and does not have, and rules of its own that match nothing."""
    if step.needs_package and find_spec(step.needs_package) is None:
        hint = f"pip install 'fractune[{step.method}]' on the worker."
        raise MissingExtra(f"The step `{step.method}` needs {step.needs_package}.", hint=hint)
    scopes = [settings.scope for settings in step.layers] if isinstance(step, PerLayer) else []
    for scope in [step.own_scope, *scopes]:
        if scope is not None:
            excluded_operations(imported.model, scope, imported.origins)


def _parts(steps: Sequence[Step], imported: Imported, layers: Sequence[Layer], tables: Sequence[Layer]) -> tuple[Part, ...]:
    return tuple(part for group in _groups(steps) if (part := _part(group, imported, layers, tables)))


def _groups(steps: Iterable[Step]) -> list[list[Step]]:
    """Consecutive methods together, every step that rewrites the graph by itself."""
    groups: list[list[Step]] = []
    for step in steps:
        if isinstance(step, SuperNetwork):
            continue  # the model has grown already
        if groups and not step.rewrites_graph and not groups[-1][0].rewrites_graph:
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _part(group: Sequence[Step], imported: Imported, layers: Sequence[Layer], tables: Sequence[Layer]) -> Part:
    if group[0].rewrites_graph:
        return group[0]
    budgets = [_methods_of(step, imported, layers) for step in group if isinstance(step, Method)]
    methods = {layer.name: tuple(budget[layer.name] for budget in budgets if layer.name in budget) for layer in layers}
    storing = [step for step in group if isinstance(step, Method) and step.stores_tables]
    methods |= {table.name: tuple(filter(None, (_for_table(step, imported, table) for step in storing))) for table in tables}
    return {name: each for name, each in methods.items() if each}


def _for_table(step: Method, imported: Imported, table: Layer) -> Method | None:
    """The step as it is for a table of embeddings; None where it leaves it alone."""
    if _selected(imported, step.ignored_scope, [table]):
        return None
    own = next((settings for settings in step.layers if _selected(imported, settings.scope, [table])), None)
    return step.set_for(own) if own else step.alike()


def _methods_of(step: Method, imported: Imported, layers: Sequence[Layer]) -> dict[str, Method]:
    """The step for each layer that it is to compress, by name: as its own settings say, or by a share of the step's budget.

    Raises UnmatchedScope for settings that select nothing.
    """
    left = _selected(imported, step.ignored_scope, layers)
    free = {layer.name: layer for layer in layers if layer.name not in left}
    methods: dict[str, Method] = {}
    for settings in step.layers:
        selected = _selected(imported, settings.scope, list(free.values()))
        methods |= step.set_for(settings).allocate({name: free.pop(name).size for name in selected}, _reader(imported, layers))
    sizes = {name: layer.size for name, layer in free.items()}
    return {**methods, **(step.alike().allocate(sizes, _reader(imported, layers)) if sizes else {})}


def _selected(imported: Imported, scope: IgnoredScope, layers: Sequence[Layer]) -> list[str]:
    """The names of the layers that a scope selects."""
    operations = excluded_operations(imported.model, scope, imported.origins)
    return [layer.name for layer in layers if operations.keys() & set(layer.readers)]


def _reader(imported: Imported, layers: Sequence[Layer]) -> Callable[[str], Array]:
    by_name = {layer.name: layer for layer in layers}
    return lambda name: read_weight(imported.model, by_name[name]).astype(np.float64)
