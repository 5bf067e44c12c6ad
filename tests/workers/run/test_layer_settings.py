"""Settings of a step for some layers, and layers that one step alone leaves as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from tests.workers.ir.tiny import cnn, graph, save, weight
from tests.workers.passes.compressing import Job
from workers.errors import UnmatchedScope
from workers.ir.reading.importer import load
from workers.methods.problem import Method
from workers.recipe import Recipe
from workers.run.plan import make_plan

UNIFORM = {"method": "uniform", "bits": 3, "allocation": "uniform"}
SECOND = {"scope": {"names": ["second"]}, "bits": 8}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(batch=1), tmp_path_factory.mktemp("model") / "cnn.onnx")


def methods(network: Path, *steps: dict[str, Any]) -> dict[str, tuple[Method, ...]]:
    (part,) = make_plan(load(network), Recipe.model_validate({"steps": steps})).parts
    assert isinstance(part, dict)
    return part


def test_a_layer_goes_by_the_first_settings_that_select_it(network: Path) -> None:
    settings = [SECOND, {"scope": {"types": ["GroupConvolution", "Convolution"]}, "bits": 5}]
    found = methods(network, UNIFORM | {"layers": settings})
    assert {name: [method.model_dump()["bits"] for method in each] for name, each in found.items()} == {
        "first": [5], "second": [8], "third": [3],
    }  # fmt: skip


def test_settings_share_no_budget_with_the_other_layers(network: Path) -> None:
    pruning = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "normalized"}
    found = methods(network, pruning | {"layers": [{"scope": {"names": ["third"]}, "sparsity_level": 0.25}]})
    assert found["third"][0].model_dump()["sparsity_level"] == 0.25


def test_a_scope_of_a_step_binds_that_step_alone(network: Path) -> None:
    pruning = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}
    job = Job(
        network,
        [pruning, UNIFORM | {"ignored_scope": {"names": ["second"]}, "layers": [{**SECOND, "scope": {"names": ["first"]}}]}],
    )
    steps = {name: [step.method for step in result.steps] for name, result in job.results.items()}
    assert steps == {
        "first": ["layerwise_pruning", "uniform"],
        "second": ["layerwise_pruning"],
        "third": ["layerwise_pruning", "uniform"],
    }
    levels = {
        name: max(np.unique(row).size for row in result.weight.reshape(-1, result.weight.shape[2]))
        for name, result in job.results.items()
    }
    assert levels["third"] <= 7 < levels["first"]
    alone = Job(network, [UNIFORM | {"ignored_scope": {"names": ["second"]}}])
    assert [(entry.name, entry.reason) for entry in alone.compressed.skipped] == [("second", "ignored_scope.names: 'second'")]


def test_tables_of_embeddings_go_by_settings_and_scopes_too(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "in"], ["e"], name="embedding"),
        helper.make_node("MatMul", ["e", "w"], ["out"], name="only"),
    ]
    model = graph(nodes, {"table": weight(50, 16), "w": weight(16, 8)}, {"in": [None, 12]}, kind=TensorProto.INT32)
    path, scope = save(model, tmp_path / "tokens.onnx"), {"names": ["embedding"]}
    assert set(methods(path, UNIFORM | {"ignored_scope": scope})) == {"only"}
    table = set(methods(path, UNIFORM)) - {"only"}
    assert len(table) == 1
    (found,) = methods(path, UNIFORM | {"layers": [{"scope": scope, "bits": 8}]})[table.pop()]
    assert found.model_dump()["bits"] == 8


@pytest.mark.parametrize(
    "where", [{"ignored_scope": {"names": ["secund"]}}, {"layers": [{**SECOND, "scope": {"names": ["secund"]}}]}]
)
def test_a_rule_that_matches_nothing_is_named(network: Path, where: dict[str, Any]) -> None:
    with pytest.raises(UnmatchedScope, match="'secund' matches no operation; did you mean 'second'"):
        methods(network, UNIFORM | where)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"scope": {"names": ["a"]}}, "at least one"),
        ({"scope": {"names": ["a"]}, "bits": 99}, "layers.0: bits: Input should be less"),
        ({"scope": {"names": ["a"]}, "bitz": 3}, "layers.0: bitz: Extra"),
        ({"scope": {"names": ["a"]}, "layers": []}, "knobs of the step"),
        ({"bits": 3}, "scope"),
    ],
)
def test_settings_are_checked_as_the_step_s_own_knobs(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Recipe.model_validate({"steps": [UNIFORM | {"layers": [settings]}]})


def test_settings_survive_json() -> None:
    recipe = Recipe.model_validate({"steps": [UNIFORM | {"layers": [SECOND]}]})
    assert Recipe.model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe
    assert recipe.brief()["steps"][0]["layers"] == [SECOND]
