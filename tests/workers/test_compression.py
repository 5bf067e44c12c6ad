"""How a recipe's steps follow one another."""

import numpy as np
import pytest

from tests.workers.ir.tiny import cnn, save
from tests.workers.passes.doubling import Doubling
from workers.calibration import from_fractals
from workers.compression import make_plan, run
from workers.errors import Internal
from workers.ir.importer import load
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.uniform import Uniform
from workers.passes import REWRITES
from workers.recipe import Preprocessing, Recipe

PRUNING, GRID = LayerwisePruning(sparsity_level=0.5, allocation="uniform"), Uniform(bits=6)


@pytest.fixture
def compress(tmp_path, monkeypatch):
    """Takes steps on a small network; returns what became of it and the progress that was told."""
    monkeypatch.setitem(REWRITES, Doubling, "tests.workers.passes.doubling")
    path = save(cnn(), tmp_path / "cnn.onnx")

    def take(*steps):
        imported = load(path)
        plan = make_plan(imported, Recipe.model_construct(steps=steps))
        samples = from_fractals(imported, 16, 0, Preprocessing())
        told = []

        def progress(done, total, layer=None, message=""):
            told.append((done, total, layer or message))

        original = imported.model.clone()
        done = run(imported, original, plan, samples, seed=0, threads=1, on_layer=lambda result: None, progress=progress)
        return done, told

    return take


def test_consecutive_methods_share_a_sweep(compress):
    done, told = compress(PRUNING, GRID)
    assert told == [(1, 3, "n1"), (2, 3, "second"), (3, 3, "out")]
    assert all([step.method for step in result.steps] == ["layerwise_pruning", "uniform"] for result in done.results)


def test_a_pass_ends_a_sweep_and_the_next_method_begins_another(compress):
    _, told = compress(PRUNING, Doubling(), GRID)
    assert [what for _, _, what in told] == ["n1", "second", "out", "doubled", "n1", "second", "out"]
    assert [done for done, _, _ in told] == [1, 2, 3, 6, 7, 8, 9]
    assert {total for _, total, _ in told} == {9}


def test_zeros_survive_a_pass_and_the_next_sweep(compress):
    first, _ = compress(PRUNING)
    both, _ = compress(PRUNING, Doubling(), GRID)
    for before, after in zip(first.results, both.results, strict=True):
        assert [step.method for step in after.steps] == ["layerwise_pruning", "uniform"]
        np.testing.assert_array_equal(before.original, after.original)
        assert (before.weight == 0).mean() >= 0.4
        assert not after.weight[before.weight == 0].any()


def test_a_pass_that_is_not_as_exact_as_it_says_is_found_out(compress):
    with pytest.raises(Internal, match="doubling was to leave the outputs"):
        compress(PRUNING, Doubling(factor=1.01))
