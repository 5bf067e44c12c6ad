"""The form of a new job: every method of the catalogue, there and back."""

from typing import Any

import pytest

from service.dashboard.draft import PRESETS, Draft, block_schema, catalogue
from service.dashboard.knobs import FormField, document, knobs, spell_value
from service.dashboard.views.new import expected, image_size
from workers.jobs.records import Asset, AssetKind
from workers.recipe import Recipe
from workers.recipe.goals import GOALS

WHOLE: dict[str, Any] = {
    "steps": [{"method": "layerwise_pruning", "sparsity_level": 0.65}, {"method": "uniform", "bits": 3}],
    "calibration": {"source": "fractals", "count": 64, "seed": 7},
    "preprocessing": {"mean_values": [123.675, 116.28, 103.53], "scale_values": [58.0, 57.0, 57.0], "layout": "NCHW"},
    "constraint": {"max_drop": 0.01},
    "ignored_scope": {"names": ["first", "last"], "validate": False},
    "shapes": {"input": [1, 3, 224, 224]},
    "seed": 3,
}
APART = {"task": "detection", "decoder": "nanodet", "check_original": False, "calibrate_on": "original", "batch": {"x": None}}


def test_a_recipe_comes_back_from_its_form() -> None:
    draft = Draft.of(WHOLE)
    assert draft.faults == {}
    assert Recipe.model_validate(draft.recipe()) == Recipe.model_validate(WHOLE)
    assert Recipe.model_validate(WHOLE).brief() == WHOLE


def test_no_field_of_a_recipe_is_lost_on_its_form() -> None:
    """As the service keeps it, with every default spelt."""
    kept = Recipe.model_validate({name: value for name, value in WHOLE.items() if name != "constraint"} | APART)
    assert Recipe.model_validate(Draft.of(kept.model_dump(mode="json", by_alias=True)).recipe()) == kept
    told = {*WHOLE, *APART, "goal", "search", "pareto", "benchmark"}  # a field of a recipe that is new needs a place here
    assert set(Recipe.model_fields) == told


def test_a_recipe_without_a_benchmark_comes_back() -> None:
    recipe = {"steps": [{"method": "inq"}], "benchmark": None}
    assert Draft.of(recipe).recipe() == recipe


@pytest.mark.parametrize("method", catalogue())
def test_every_method_has_a_form_whose_blanks_are_its_defaults(method: str) -> None:
    schema = catalogue()[method]
    assert document(schema, "steps.0", {}) == {}
    for knob in knobs(schema, "steps.0", {}, {}):
        assert knob.doc or knob.choices, knob.name
        assert knob.required or knob.default or knob.input is not FormField.NUMBER or "null" in str(schema)


@pytest.mark.parametrize("name", PRESETS)
def test_the_common_recipes_are_valid(name: str) -> None:
    assert Draft.of(PRESETS[name]).faults == {}
    assert Draft.of(PRESETS[name]).recipe() == PRESETS[name]


def test_what_is_for_some_layers_comes_last_and_in_one_order() -> None:
    """Several processes answer for one form: the order must not come from a set."""
    for method, schema in catalogue().items():
        names = list(schema["properties"])
        last = [name for name in ("ignored_scope", "layers") if name in names]
        assert names[len(names) - len(last) :] == last, method


def test_a_goal_fills_the_form_until_its_steps_are_changed() -> None:
    draft = Draft.of(WHOLE).changed("goal:size")
    assert draft.goal is GOALS["size"]
    assert draft.recipe()["goal"] == "size"
    assert draft.values["preprocessing.layout"] == "NCHW"
    assert "constraint.max_drop" not in draft.values
    assert draft.changed("goal:limit").recipe()["constraint"] == {"max_drop": 0.01}
    assert draft.changed("goal:limit").changed("goal:size").recipe() == draft.recipe()
    assert "goal" not in draft.changed("add:int8").recipe()


def test_the_form_tells_which_samples_a_goal_lacks() -> None:
    draft = Draft({}).changed("goal:limit")
    assert draft.faults.keys() == {"evaluation"}
    assert Draft({**draft.values, "evaluation": "0" * 64}).faults == {}


@pytest.mark.parametrize(
    ("field", "text", "fault"),
    [
        ("steps.0.sparsity_level", "7", "less than 1"),
        ("steps.0.sparsity_level", "a lot", "valid number"),
        ("steps.0.sparsity_level", "", "required"),
        ("calibration.count", "1.5", "integer"),
        ("preprocessing.mean_values", "1, x", "number"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(field: str, text: str, fault: str) -> None:
    draft = Draft({**Draft.of(WHOLE).values, field: text})
    assert any(where.startswith(field) and fault in message for where, message in draft.faults.items())


def test_steps_are_added_moved_and_removed() -> None:
    draft = Draft.of(WHOLE)
    assert draft.changed("add:inq").methods == ["layerwise_pruning", "uniform", "inq"]
    assert draft.changed("down:0").methods == draft.changed("up:1").methods == ["uniform", "layerwise_pruning"]
    assert draft.changed("remove:0").recipe()["steps"] == [{"method": "uniform", "bits": 3}]
    assert draft.changed("down:0").values["calibration.count"] == "64"
    for senseless in ("up:0", "add:nothing", "remove:9", "remove:-1", "", "update"):
        assert draft.changed(senseless).methods == ["layerwise_pruning", "uniform"]


def test_a_name_with_a_comma_stays_one_name() -> None:
    typed = {"ignored_scope.names": "a,b\nc\n"}
    assert document(block_schema("ignored_scope"), "ignored_scope", typed) == {"names": ["a,b", "c"]}
    assert spell_value(["a,b", "c"]) == "a,b\nc"


@pytest.mark.parametrize(
    ("shape", "layout", "size"),
    [
        ([1, 3, 224, 192], None, (224, 192, 3)),
        ([1, 224, 192, 3], None, (224, 192, 3)),
        ([1, 32, 32, 1], "NHWC", (32, 32, 1)),
        ([1, 512], None, None),
        ([1, 3, -1, -1], None, None),
        ([1, 64, 56, 56], None, None),
    ],
)
def test_images_are_told_from_other_inputs(shape: list[int], layout: str | None, size: tuple[int, int, int] | None) -> None:
    assert image_size(shape, layout) == size


INSPECTION: dict[str, Any] = {
    "format": "onnx",
    "bytes": 4_000_000,
    "precision": "f32",
    "operations": 40,
    "parameters": 1_000_000,
    "inputs": [{"name": "x", "shape": [1, 3, 32, 32], "type": "f32"}],
    "layers": [{"name": f"conv{n}", "type": "Convolution", "shape": [100, 100, 5, 10], "weights": 500_000} for n in range(2)],
    "skipped": [],
}


def test_the_form_tells_what_to_expect_of_an_inspected_model() -> None:
    model = Asset(AssetKind.MODEL, "0" * 64, "m.onnx", 4_000_000, "key", 0.0, 0.0, inspection=INSPECTION)
    told = expected(Draft.of({"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.65}]}), model)
    assert told is not None
    assert len(told.layers) == 2
    assert told.compressed_bytes < told.original_bytes
    assert expected(Draft.of({"steps": [{"method": "layerwise_pruning"}]}), model) is None
    assert expected(Draft.of({"steps": [{"method": "inq"}]}), None) is None
