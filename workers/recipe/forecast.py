"""What a recipe will do to a model, before it is queued: from the model's inspection alone, without touching the model.

Sizes follow from the methods' bits. Time is a model of the work at the speed that the inspection measured (`cost`); memory is
rough.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import log2, prod
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from workers.methods.finetune import Finetune
from workers.methods.problem import FLOAT_BITS, Array, Method, PerLayer, Step
from workers.recipe import Recipe
from workers.recipe.assumptions import foreseen
from workers.recipe.cost import columns_of, stage_seconds
from workers.recipe.scope_matching import Operations, plain_rules
from workers.recipe.skipped_layer import SkippedLayer

BASE_BYTES = 185e6  # of a process that has loaded OpenVINO
COPIES = 40  # bytes per weight of the models and solutions in memory
FRONTIER_BYTES = 2**28  # that the engine lets activations take
XML_BYTES, XML_LAYER_BYTES, XML_INT8_BYTES = 400, 3000, 4500  # of model.xml: an operation, a layer, one with int8 activations
GAP_BITS = 8  # of the distance to the next weight that is not zero
LEFT = "the steps leave it alone by ignored scopes of their own"
XML_ZIPS = 8  # times smaller when zipped


class Planned(BaseModel):
    """A layer that the recipe changes."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    weights: int
    steps: tuple[str, ...]
    bits: float = Field(description="Expected bits per weight in model.bin.")


class Forecast(BaseModel):
    """What to expect of a job; null where the inspection does not tell."""

    model_config = ConfigDict(frozen=True)

    layers: tuple[Planned, ...]
    skipped: tuple[SkippedLayer, ...]
    unmatched: tuple[str, ...] = Field(description="Rules of the ignored scope that match no layer, with what may be meant.")
    sparsity: float
    original_bytes: int
    compressed_bytes: int = Field(description="model.xml and model.bin; layers that are left alone included.")
    zip_bytes: int
    seconds: float | None = Field(description="On one core of the machine that inspected the model; a search included.")
    stages: dict[str, float] | None = Field(None, description="The same by stage.")
    memory_bytes: int | None = Field(description="Most resident memory, within a factor of two.")
    assumed: str | None = Field(None, description="What the job will take for granted, as far as the inspection tells.")
    notes: tuple[str, ...] = ()


def foresee(inspection: Mapping[str, Any], recipe: Recipe, *, data: bool = False) -> Forecast:
    """The forecast for an inspected model; `data` says whether there are any to calibrate on.

    Raises InvalidRecipe for a bad pattern.
    """
    recipe = _with_source(recipe, data)
    layers: Sequence[Mapping[str, Any]] = inspection["layers"]
    named = _listed(layers, lambda layer: layer.get("known_as") or layer.get("operations") or [layer["name"]])
    typed = _listed(layers, lambda layer: layer.get("types") or [layer["type"]])
    rules = list(plain_rules(recipe.ignored_scope, named, typed))
    excluded = {name: f"ignored_scope.{rule}" for rule, matched, _ in reversed(rules) for name in matched}
    chosen = [layer for layer in layers if not _reason(layer, excluded)]
    variants = [_variants(step, named, typed) for step in recipe.steps]
    reached = [(layer, _steps(recipe, layer["name"], number, len(chosen), variants)) for number, layer in enumerate(chosen)]
    left = {layer["name"] for layer, steps in reached if not steps and any(layer["name"] in known for known in variants)}
    codes = _codes(recipe, chosen, variants)
    coded = [(layer, steps, _code_of(layer["name"], steps, codes)) for layer, steps in reached if layer["name"] not in left]
    planned = tuple(_planned(layer, steps, code) for layer, steps, code in coded)
    width = 2 if inspection["precision"] == "f16" else 4
    before = width * sum(layer.weights for layer in planned)
    rest = max(inspection["parameters"] * width - before, 0)
    if any(step.compresses_tables for step in recipe.steps):  # they are most of what is no layer
        rest = round(rest * min(*(step.expected_bits / (8 * width) for step in recipe.steps), 1))
    zeros = _sparsity(recipe.steps)
    xml = XML_BYTES * inspection["operations"]
    xml += len(planned) * (XML_INT8_BYTES if any(step.method == "int8" for step in recipe.steps) else XML_LAYER_BYTES)
    stages = stage_seconds(inspection, chosen, recipe, data=data)
    return Forecast(
        layers=planned,
        skipped=tuple(_skipped(inspection, excluded, left)),
        unmatched=tuple(_unmatched(recipe, named, typed)),
        sparsity=zeros,
        original_bytes=inspection["bytes"],
        compressed_bytes=round(sum(layer.weights * layer.bits for layer in planned) / 8) + rest + xml,
        zip_bytes=round(sum(layer["weights"] * _packed(code, zeros) for layer, _, code in coded) / 8) + rest + xml // XML_ZIPS,
        seconds=None if stages is None else sum(stages.values()),
        stages=stages,
        memory_bytes=_memory(chosen, inspection, recipe),
        assumed=foreseen(inspection.get("inputs", ()), recipe, inspection.get("raw_pixels")),
        notes=_notes(recipe, planned),
    )


def _skipped(inspection: Mapping[str, Any], excluded: Mapping[str, str], left: Collection[str]) -> Iterator[SkippedLayer]:
    """What the recipe does not change: weights that are no layers, layers that it excludes, and those that its steps `left`."""
    for entry in inspection["skipped"]:
        yield SkippedLayer(**entry)
    for layer in inspection["layers"]:
        if reason := _reason(layer, excluded) or LEFT * (layer["name"] in left):
            yield SkippedLayer(layer["name"], layer["type"], reason)


def _with_source(recipe: Recipe, data: bool) -> Recipe:
    """The recipe, calibrating on the data where it leaves that open."""
    if not data or recipe.calibration.source is not None:
        return recipe
    return recipe.model_copy(update={"calibration": recipe.calibration.model_copy(update={"source": "dataset"})})


def _listed(layers: Sequence[Mapping[str, Any]], known: Callable[[Mapping[str, Any]], Sequence[str]]) -> dict[str, list[str]]:
    """The layers by each of the texts that they are known by."""
    found: dict[str, list[str]] = {}
    for layer in layers:
        for text in known(layer):
            found.setdefault(text, []).append(layer["name"])
    return found


def _reason(layer: Mapping[str, Any], excluded: Mapping[str, str]) -> str:
    names = layer.get("operations") or [layer["name"]]
    return next((excluded[name] for name in names if name in excluded), "")


Variants = Mapping[str, Step | None]  # of a step, by the layers that go by another one, or by none


def _variants(step: Step, named: Operations, typed: Operations) -> Variants:
    """The layers that the step leaves alone, and those for which it has other knobs; the first settings count."""
    found: dict[str, Step | None] = {}
    if isinstance(step, PerLayer):
        for settings in reversed(step.layers):
            other = step.set_for(settings)
            found |= {name: other for _, matched, _ in plain_rules(settings.scope, named, typed) for name in matched}
    own = plain_rules(step.own_scope, named, typed) if step.own_scope else ()
    return {**found, **{name: None for _, matched, _ in own for name in matched}}


def _unmatched(recipe: Recipe, named: Operations, typed: Operations) -> Iterator[str]:
    """Rules of any scope that match no layer."""
    scopes = {"ignored_scope": recipe.ignored_scope}
    for number, step in enumerate(recipe.steps):
        scopes |= {f"steps.{number}.ignored_scope": step.own_scope} if step.own_scope else {}
        for place, settings in enumerate(step.layers if isinstance(step, PerLayer) else ()):
            scopes[f"steps.{number}.layers.{place}.scope"] = settings.scope
    for where, scope in scopes.items():
        yield from (
            f"{where}.{rule} matches no layer{hint}" for rule, matched, hint in plain_rules(scope, named, typed) if not matched
        )


def _steps(recipe: Recipe, name: str, number: int, count: int, variants: Sequence[Variants]) -> list[Step]:
    """The steps that reach a layer, as they are for it."""
    pairs = zip(recipe.steps, variants, strict=True)
    found = [known.get(name, step) for step, known in pairs if step.reaches(number, count)]
    return [step for step in found if step is not None]


Codes = Mapping[str, Mapping[str, float]]  # expected bits of layers, by their names, by method


def _codes(recipe: Recipe, layers: Sequence[Mapping[str, Any]], variants: Sequence[Variants]) -> Codes:
    """The bits of those layers that share a step's budget, where the step gives some more than others."""
    found = {}
    for step, known in zip(recipe.steps, variants, strict=True):
        if isinstance(step, Method):
            matrices = {layer["name"]: _matrix(layer) for layer in layers if layer["name"] not in known}
            sizes = {name: matrix.size for name, matrix in matrices.items()}
            found[step.method] = step.alike().expected_bits_of(sizes, matrices.__getitem__)
    return found


def _matrix(layer: Mapping[str, Any]) -> Array:
    """Something of the shape (g, r, c) that a layer's weights have."""
    groups, *shape = layer["shape"] if layer["type"].startswith("Group") else (1, *layer["shape"])
    return np.broadcast_to(0.0, (groups, shape[0], prod(shape[1:])))


def _code_of(name: str, steps: Sequence[Step], codes: Codes) -> float:
    """Bits of a weight of a layer that is not pruned."""
    return min((codes.get(step.method, {}).get(name, step.expected_bits) for step in steps), default=FLOAT_BITS)


def _planned(layer: Mapping[str, Any], steps: Sequence[Step], code: float) -> Planned:
    bits = _bits(code, steps) + max((step.expected_channel_bits for step in steps), default=0.0) / columns_of(layer)
    return Planned(
        name=layer["name"], type=layer["type"], weights=layer["weights"], steps=tuple(s.method for s in steps), bits=bits
    )


def _sparsity(steps: Sequence[Step]) -> float:
    return max((step.expected_sparsity for step in steps), default=0.0)


def _bits(code: float, steps: Sequence[Step]) -> float:
    """Bits per weight: a code for each, or the codes that are not zero with a bitmap or the gaps between them."""
    kept = 1 - _sparsity(steps)
    return min(code, kept * code + 1, kept * (code + GAP_BITS))


def _packed(code: float, zeros: float) -> float:
    """Bits per weight once zipped: where the zeros are, and the other values."""
    places = 0.0 if zeros in (0.0, 1.0) else -zeros * log2(zeros) - (1 - zeros) * log2(1 - zeros)
    return places + (1 - zeros) * 0.93 * code


def _memory(layers: Sequence[Mapping[str, Any]], inspection: Mapping[str, Any], recipe: Recipe) -> int | None:
    if any(layer.get("outputs") is None for layer in layers):
        return None
    widest = max((columns_of(layer) for layer in layers), default=0)
    activations = 3 * 4 * recipe.calibration.count * max((int(layer["outputs"]) for layer in layers), default=0)
    weights = int(inspection["parameters"])
    return round(BASE_BYTES + COPIES * weights + min(activations, FRONTIER_BYTES) + 40 * widest**2)


def _notes(recipe: Recipe, planned: Sequence[Planned]) -> tuple[str, ...]:
    notes = []
    if not planned:
        notes.append("No layer is left to compress: the job would be refused.")
    if recipe.ignored_scope.subgraphs:
        notes.append("ignored_scope.subgraphs is resolved by the job: these figures take it for empty.")
    if any(isinstance(step, Finetune) for step in recipe.steps):
        notes.append("finetune needs torch on the worker: pip install 'fractune[finetune]'.")
    if recipe.search:
        notes.append("A search changes the setting of its knob: sizes are those of the recipe as it stands.")
    if recipe.search or recipe.pareto:
        notes.append("Workers of a service that are idle solve candidates for the job: with them it takes less time.")
    return tuple(notes)
