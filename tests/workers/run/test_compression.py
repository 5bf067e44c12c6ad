"""How a recipe's steps follow one another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
import pytest
from pydantic import ValidationError

from tests.workers.engine.test_sequential import residual_network
from tests.workers.ir.tiny import cnn, save
from tests.workers.passes.doubling import Doubling
from workers.calibration import from_fractals
from workers.errors import Internal, MissingExtra
from workers.ir.graph.edit import read_weight, write_weight
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import Imported, load
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.uniform import Uniform
from workers.passes import REWRITES, CompressionState
from workers.recipe import Preprocessing, Recipe
from workers.run.compression import SPARED, UNTOUCHED, compress_model, compressed_by, make_context
from workers.run.plan import make_plan

PRUNING, GRID = LayerwisePruning(sparsity_level=0.5, allocation="uniform"), Uniform(bits=6)


@pytest.fixture
def compress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Takes steps on a small network; returns what became of it and the progress that was told."""
    monkeypatch.setitem(cast(dict[object, str], REWRITES), Doubling, "tests.workers.passes.doubling")
    path = save(cnn(), tmp_path / "cnn.onnx")

    def take(*steps: Any) -> Any:
        imported = load(path)
        plan = make_plan(imported, Recipe.model_construct(steps=steps))
        samples = from_fractals(imported, 16, 0, Preprocessing())
        told = []

        def progress(done: Any, total: Any, layer: Any = None, message: str = "") -> None:
            told.append((done, total, layer or message))

        return compress_model(plan, make_context(plan, imported.model, samples, seed=0, threads=1), progress), told

    return take


def test_consecutive_methods_share_a_sweep(compress: Callable[..., Any]) -> None:
    done, told = compress(PRUNING, GRID)
    assert told == [(1, 3, "first"), (2, 3, "second"), (3, 3, "third")]
    assert all([step.method for step in result.steps] == ["layerwise_pruning", "uniform"] for result in done.results)


def test_a_pass_ends_a_sweep_and_the_next_method_begins_another(compress: Callable[..., Any]) -> None:
    _, told = compress(PRUNING, Doubling(), GRID)
    assert [what for _, _, what in told] == ["first", "second", "third", "doubled", "first", "second", "third"]
    assert [done for done, _, _ in told] == [1, 2, 3, 6, 7, 8, 9]
    assert {total for _, total, _ in told} == {9}


def test_zeros_survive_a_pass_and_the_next_sweep(compress: Callable[..., Any]) -> None:
    first, _ = compress(PRUNING)
    both, _ = compress(PRUNING, Doubling(), GRID)
    for before, after in zip(first.results, both.results, strict=True):
        assert [step.method for step in after.steps] == ["layerwise_pruning", "uniform"]
        np.testing.assert_array_equal(before.original, after.original)
        assert (before.weight == 0).mean() >= 0.4
        assert not after.weight[before.weight == 0].any()


def test_a_pass_that_is_not_as_exact_as_it_says_is_found_out(compress: Callable[..., Any]) -> None:
    with pytest.raises(Internal, match="doubling was to leave the outputs"):
        compress(PRUNING, Doubling(factor=1.01))


@pytest.mark.parametrize(("allocation", "reason"), [("optimal", SPARED), ("uniform", UNTOUCHED)])
def test_layers_without_zeros_are_told_with_what_has_spared_them(allocation: str, reason: str, tmp_path: Path) -> None:
    step = LayerwisePruning.model_validate({"sparsity_level": 0.5, "allocation": allocation})
    plan = make_plan(load(save(cnn(), tmp_path / "cnn.onnx")), Recipe.model_construct(steps=(step,)))
    done = compressed_by(plan, CompressionState(plan.imported.model, {}))
    assert [entry.reason for entry in done.skipped] == [reason] * 3


def residual(folder: Path) -> Imported:
    ov.save_model(residual_network(), folder / "model.xml")
    return load(folder / "model.xml")


def test_a_super_network_is_planned_for_layer_by_layer(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {"steps": [{"method": "super_network", "width": 1.5, "depth": 1.5}, {"method": "ec2t", "sensitive_bits": None}]}
    )
    imported = residual(tmp_path)
    samples = from_fractals(imported, 16, 0, Preprocessing())
    plan = make_plan(imported, recipe)
    assert "deeper_1" in {layer.name for layer in plan.layers}
    before = {layer.name: layer.size for layer in find_layers(imported.model)[0]}
    assert sum(layer.size for layer in plan.layers) > 1.5 * sum(before.values())
    done = compress_model(plan, make_context(plan, imported.model, samples, seed=0, threads=1))
    assert {result.layer.name for result in done.results} == {layer.name for layer in plan.layers}
    rows = [row for result in done.results for row in result.weight.reshape(-1, result.weight.shape[2])]
    assert max(len(np.unique(row)) for row in rows) <= 3


def test_a_super_network_that_computes_something_else_is_an_error(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"steps": [{"method": "super_network"}, {"method": "uniform", "bits": 6}]})
    imported = residual(tmp_path)
    plan = make_plan(imported, recipe)
    samples = from_fractals(imported, 16, 0, Preprocessing())
    larger = plan.imported.model
    layer = find_layers(larger)[0][0]
    write_weight(larger, layer, 2 * read_weight(larger, layer))
    with pytest.raises(Internal, match="super_network"):
        compress_model(plan, make_context(plan, imported.model, samples, seed=0, threads=1))


def test_finetune_without_torch_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"steps": [{"method": "mlq"}, {"method": "finetune"}]})
    imported = load(save(cnn(), tmp_path / "cnn.onnx"))
    monkeypatch.setattr("workers.run.plan.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="torch") as caught:
        make_plan(imported, recipe)
    assert "fractune[finetune]" in caught.value.hint


@pytest.mark.parametrize("steps", [("mlq", "super_network"), ("int8", "finetune")])
def test_steps_in_an_order_that_makes_no_sense_are_refused(steps: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=r"must be the (first|last) step"):
        Recipe.model_validate({"steps": [{"method": method} for method in steps]})
