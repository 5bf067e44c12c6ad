"""A job that is being put together: the fields of its form, and the recipe that they spell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from service.dashboard.knobs import Knob, document, knobs, typed
from service.http.errors import pointer
from workers.errors import InvalidRecipe
from workers.methods import METHODS
from workers.methods.ignored_scope import IgnoredScope
from workers.recipe import BenchmarkSettings, Calibration, Constraint, Pareto, Preprocessing, Recipe, Search
from workers.recipe.goals import GOALS, Goal, with_goal

BLOCKS: dict[str, type[BaseModel]] = {
    "calibration": Calibration,
    "preprocessing": Preprocessing,
    "constraint": Constraint,
    "search": Search,
    "pareto": Pareto,
    "ignored_scope": IgnoredScope,
    "benchmark": BenchmarkSettings,
}
PRUNE = "layerwise_pruning"
PRESETS: dict[str, dict[str, Any]] = {
    "Prune half": {"steps": [{"method": PRUNE, "sparsity_level": 0.5}]},
    "Prune 65 %, then int8": {"steps": [{"method": PRUNE, "sparsity_level": 0.65}, {"method": "int8"}]},
    "int8": {"steps": [{"method": "int8"}]},
    "8-bit weights, small in memory": {"steps": [{"method": "weight_compression"}]},
    "As much in int8 as one point of accuracy allows": {
        "steps": [{"method": "int8"}],
        "constraint": {"max_drop": 0.01},
        "search": {},
    },
    "4-bit powers of two": {"steps": [{"method": "inq", "bits": 4}]},
    "Ternary": {"steps": [{"method": "ec2t"}]},
    "As sparse as 1 point allows": {
        "steps": [{"method": PRUNE, "sparsity_level": 0.5}],
        "constraint": {"max_drop": 0.01},
        "search": {},
    },
}
TOLD_BY_GOALS = ("steps.", "constraint", "search", "pareto", "calibration.source", "calibration.inversion_steps", "goal")
PLAIN = ("task", "decoder", "check_original", "calibrate_on", "batch")  # in no block, shown one by one
SWITCHED = ("search", "pareto")  # off unless asked for, and then of use without any setting
ON, OFF = "on", "off"


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """The JSON schema of every method."""
    return {str(method.model_fields["method"].default): method.model_json_schema() for method in METHODS}


@cache
def block_schema(name: str) -> dict[str, Any]:
    """The JSON schema of a part of the recipe."""
    return BLOCKS[name].model_json_schema(by_alias=True)


@cache
def plain_schema() -> dict[str, Any]:
    """The JSON schema of what is in no block."""
    whole = Recipe.model_json_schema(by_alias=True)
    return whole | {"properties": {name: whole["properties"][name] for name in PLAIN}, "required": []}


@dataclass(frozen=True, slots=True)
class DraftStep:
    """A step of the recipe on the form."""

    method: str
    doc: str
    knobs: tuple[Knob, ...]


@dataclass
class Draft:
    """The fields of the form, by name."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Mapping[str, Any], **others: str) -> "Draft":
        """The form that somebody would have filled in for that recipe."""
        values = dict(others)
        for index, step in enumerate(recipe.get("steps", ())):
            values |= typed(step, f"steps.{index}")
        for name in BLOCKS:
            values |= typed(recipe.get(name) or {}, name)
        values |= {name: ON for name in SWITCHED if recipe.get(name) is not None}
        if "benchmark" in recipe and recipe["benchmark"] is None:
            values["benchmark"] = OFF
        values |= typed({name: recipe[name] for name in ("goal", "seed", "shapes") if recipe.get(name)}, "")
        values |= typed({name: recipe[name] for name in PLAIN if recipe.get(name) not in (None, {})}, "")
        return cls(values)

    @property
    def methods(self) -> list[str]:
        """Of the steps, in order; unknown ones are left out."""
        found: list[str] = []
        while (method := self.values.get(f"steps.{len(found)}.method", "")) in catalogue():
            found.append(method)
        return found

    @property
    def goal(self) -> Goal | None:
        """What is wanted, as long as the steps are those of a goal."""
        goal = next((goal for name, goal in GOALS.items() if name == self.values.get("goal")), None)
        return goal if goal and [step["method"] for step in goal.recipe["steps"]] == self.methods else None

    def recipe(self) -> dict[str, Any]:
        """What the form spells, checked or not."""
        steps = [
            {"method": method, **document(catalogue()[method], f"steps.{index}", self.values)}
            for index, method in enumerate(self.methods)
        ]
        blocks = {name: document(block_schema(name), name, self.values) for name in BLOCKS}
        goal = {"goal": self.values["goal"]} if self.goal else {}
        made: dict[str, Any] = (
            goal | {"steps": steps} | {name: block for name, block in blocks.items() if block or self.values.get(name) == ON}
        )
        if self.values.get("benchmark") == OFF:
            made["benchmark"] = None
        made |= document(plain_schema(), "", self.values)
        return made | document({"properties": {"seed": {"type": "integer"}, "shapes": {"type": "object"}}}, "", self.values)

    @cached_property
    def faults(self) -> dict[str, str]:
        """What is wrong with the recipe, by the name of the field."""
        recipe = self.recipe()
        try:
            given = {"data": bool(self.values.get("dataset")), "evaluation": bool(self.values.get("evaluation"))}
            Recipe.model_validate(recipe).check_data(**given)
        except InvalidRecipe as error:
            return {"evaluation" if self.goal and self.goal.needs_evaluation else "dataset": error.message}
        except ValidationError as error:
            found = {pointer(("body", *fault["loc"]), recipe): fault["msg"] for fault in error.errors(include_url=False)}
            named = {where.strip("/").replace("/", "."): message for where, message in found.items()}
            return {where: said for where, said in named.items() if not any(other.startswith(f"{where}.") for other in named)}
        return {}

    def steps(self) -> list[DraftStep]:
        """The steps with their knobs."""
        schemas = [catalogue()[method] for method in self.methods]
        return [
            DraftStep(method, schema.get("description", ""), knobs(schema, f"steps.{index}", self.values, self.faults))
            for index, (method, schema) in enumerate(zip(self.methods, schemas, strict=True))
        ]

    @property
    def plain(self) -> tuple[Knob, ...]:
        """The knobs that are in no part of the recipe."""
        return knobs(plain_schema(), "", self.values, self.faults)

    def block(self, name: str) -> tuple[Knob, ...]:
        """The knobs of a part of the recipe."""
        return knobs(block_schema(name), name, self.values, self.faults)

    def changed(self, action: str) -> "Draft":
        """After a button of the form: goal:NAME, add:METHOD, or remove, up and down with the number of a step."""
        what, _, which = action.partition(":")
        if what == "goal":
            kept = {name: value for name, value in self.values.items() if not name.startswith(TOLD_BY_GOALS)}
            return Draft({**kept, **Draft.of(with_goal({"goal": which})).values})
        recipe = self.recipe()
        steps: list[dict[str, Any]] = recipe["steps"]
        if what == "add" and which in catalogue():
            steps.append({"method": which})
        elif which.isdecimal() and int(which) < len(steps):
            step = steps.pop(int(which))
            if what in ("up", "down"):
                steps.insert(max(0, int(which) + (1 if what == "down" else -1)), step)
        others = {name: value for name, value in self.values.items() if not name.startswith("steps.")}
        return Draft({**others, **Draft.of({"steps": steps}).values})
