"""A recipe's steps applied to an imported model: which layer gets which methods, and the run of the engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workers.allocate import allocate
from workers.calibration import Samples
from workers.engine import LayerResult, compress
from workers.errors import NothingToCompress
from workers.ir.batching import rebatch
from workers.ir.edit import read_weight
from workers.ir.importer import Imported
from workers.ir.layers import Layer, Skipped, find_layers
from workers.methods.problem import Method
from workers.recipe import Recipe
from workers.scope import ignored

MOST_SAMPLES_AT_ONCE = 64
MOST_VALUES_AT_ONCE = 2**20  # input elements of a batch

Plan = list[tuple[Layer, tuple[Method, ...]]]


@dataclass(frozen=True, slots=True)
class Compressed:
    """What became of the layers of a model; its weights and biases are in the model."""

    results: tuple[LayerResult, ...]
    skipped: tuple[Skipped, ...]


def make_plan(imported: Imported, recipe: Recipe) -> tuple[Plan, list[Skipped]]:
    """The layers that the recipe compresses, each with its methods, and those it does not with the reason.

    Raises UnmatchedScope for a rule that matches nothing and NothingToCompress when no layer remains.
    """
    layers, skipped = find_layers(imported.model)
    excluded = ignored(layers, recipe.ignored_scope)
    chosen = [layer for layer in layers if layer.name not in excluded]
    weights = {layer.name: read_weight(imported.model, layer).astype(np.float64) for layer in chosen}
    budgets = [allocate(step, weights) for step in recipe.steps if isinstance(step, Method) and weights]
    plan = [(layer, tuple(budget[layer.name] for budget in budgets if layer.name in budget)) for layer in chosen]
    skipped += [Skipped(layer.name, layer.type, excluded[layer.name]) for layer in layers if layer.name in excluded]
    skipped += [Skipped(layer.name, layer.type, "the recipe's methods leave this layer as it is") for layer, m in plan if not m]
    kept = [(layer, methods) for layer, methods in plan if methods]
    if not kept:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:5])
        raise NothingToCompress(f"No layer is left to compress ({reasons or 'the model has no layers with constant weights'}).")
    return kept, skipped


def run(
    imported: Imported,
    plan: Plan,
    skipped: Sequence[Skipped],
    samples: Samples,
    *,
    seed: int,
    threads: int,
    on_layer: Callable[[LayerResult], None],
) -> Compressed:
    """Compress the layers of `plan` in place."""
    size = batch_size(imported, samples)
    results = compress(
        imported.model,
        rebatch(imported.model, size) if size > 1 else imported.model.clone(),
        plan,
        samples,
        batch_size=size,
        seed=seed,
        threads=threads,
        stored=np.float16 if imported.precision == "f16" else np.float32,
        on_layer=on_layer,
    )
    return Compressed(tuple(results), tuple(skipped))


def batch_size(imported: Imported, samples: Samples) -> int:
    """How many samples to run at once: one for a model that takes no batches."""
    if not samples.stacked:
        return 1
    values = sum(int(np.prod(entry.shape)) for entry in imported.inputs)
    return max(1, min(MOST_SAMPLES_AT_ONCE, samples.count, MOST_VALUES_AT_ONCE // max(values, 1)))
