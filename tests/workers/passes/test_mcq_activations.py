"""Sampled activations against the sampling of the paper, written out in NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.workers.ir.tiny import cnn, save
from workers.calibration import from_fractals
from workers.errors import UnmatchedScope
from workers.ir.graph.frontier import EXACT
from workers.ir.reading.importer import load
from workers.ir.writing.exporter import export
from workers.ir.writing.reopening import reopen
from workers.passes.mcq_activations import insert_sampler
from workers.recipe import Recipe
from workers.run.compression import compress_model, make_context
from workers.run.plan import make_plan

SHAPE = (3, 4, 5, 5)
KINDS = {"Relu": ops.relu, "Tanh": ops.tanh}


def sampled(
    kind: str, rate: float, offset: float, value: npt.NDArray[Any], *, whole: bool = False
) -> tuple[npt.NDArray[Any], ...]:
    """The counts and the samples that an activation of `value` is replaced by."""
    data = ops.parameter(list(value.shape), name="data")
    node = KINDS[kind](data, name="act")
    model = ov.Model([ops.result(ops.negative(node))], [data])
    insert_sampler(node, rate, offset, whole=whole)
    model.add_outputs([("act/counts", 0)])
    outputs = ov.Core().compile_model(model, "CPU", EXACT)(value)
    return outputs[1], -outputs[0]


def counted(row: npt.NDArray[Any], total: int, offset: float) -> npt.NDArray[Any]:
    """How many of the samples (k + offset) / total fall into each element's interval of the cumulative distribution."""
    edges = np.concatenate([[0.0], np.cumsum(row)]) / row.sum()
    points = (np.arange(total) + offset) / total
    return np.histogram(points, edges)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("whole", [False, True])
def test_counts_are_the_papers(kind: str, rate: float, whole: bool) -> None:
    value = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    counts, samples = sampled(kind, rate, 0.37, value, whole=whole)
    exact = np.maximum(value, 0) if kind == "Relu" else np.tanh(value)
    rows = np.abs(exact).astype(np.float64).reshape(1 if whole else SHAPE[0], -1)
    total = round(rate * rows.shape[1])
    expected = np.stack([counted(row, total, 0.37) for row in rows])
    assert np.abs(counts - expected).sum() <= 4  # a sample on the border of two elements falls to one or the other in float32
    np.testing.assert_array_equal(counts.sum(axis=1), total)
    step = rows.sum(axis=1, keepdims=True) / total
    np.testing.assert_allclose(samples, np.sign(exact) * (counts * step).reshape(SHAPE), rtol=1e-5, atol=1e-7)


def test_more_samples_come_closer() -> None:
    value = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    errors = [np.square(sampled("Relu", rate, 0.5, value)[1] - np.maximum(value, 0)).sum() for rate in (1, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * np.square(np.maximum(value, 0)).sum()


def test_an_activation_of_zeros_stays_zero() -> None:
    counts, samples = sampled("Relu", 2.0, 0.5, -np.ones(SHAPE, np.float32))
    assert not counts.any()
    assert not samples.any()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Any]:
    path = save(cnn(), tmp_path / "cnn.onnx")

    def do(step: Any, **options: Any) -> Any:
        recipe = Recipe.model_validate({"steps": [{"method": "mcq_activations"} | step], **options})
        imported = load(path)
        plan = make_plan(imported, recipe)
        samples = from_fractals(imported, 8, 0, recipe.preprocessing)
        original = imported.model.clone()
        done = compress_model(plan, make_context(plan, original, samples, seed=0, threads=1))
        reopen(done.model, imported.interface, imported.shapes, imported.trial, imported.inputs)
        return original, export(done.model, [], tmp_path / "out", {}).xml, samples

    return do


def outputs(model: ov.Model | Path, values: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return ov.Core().compile_model(model, "CPU", EXACT)(values)[0]


def test_the_written_model_samples_every_image_by_itself(job: Callable[..., Any]) -> None:
    original, xml, samples = job({"samples_per_activation": 64})
    written = ov.Core().read_model(xml)
    together = outputs(written, samples.batch(0, 4))
    alone = np.concatenate([outputs(written, samples.batch(k, k + 1)) for k in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    plain = np.concatenate([outputs(original, samples.batch(k, k + 1)) for k in range(4)])
    assert not np.array_equal(together, plain)
    np.testing.assert_allclose(together, plain, atol=0.05 * np.abs(plain).max())


def test_layers_have_their_own_rate_and_can_be_left_out(job: Callable[..., Any]) -> None:
    original, xml, samples = job({}, ignored_scope={"types": ["Relu"]})
    np.testing.assert_array_equal(outputs(xml, samples.batch(0, 1)), outputs(original, samples.batch(0, 1)))
    with pytest.raises(UnmatchedScope, match="did you mean 'r1'"):
        job({"layers": {"r2": 4}})
    coarse, fine = (outputs(job({"layers": {"r1": rate}})[1], samples.batch(0, 1)) for rate in (1, 512))
    plain = outputs(original, samples.batch(0, 1))
    assert np.abs(fine - plain).max() < np.abs(coarse - plain).max()


@pytest.mark.parametrize("after", [{"method": "mcq"}, {"method": "int8"}], ids=lambda step: step["method"])
def test_weights_are_compressed_behind_sampled_activations(tmp_path: Path, after: dict[str, str]) -> None:
    path = save(cnn(), tmp_path / "cnn.onnx")
    recipe = Recipe.model_validate({"steps": [{"method": "mcq_activations", "samples_per_activation": 8}, after]})
    imported = load(path)
    plan = make_plan(imported, recipe)
    samples = from_fractals(imported, 8, 0, recipe.preprocessing)
    done = compress_model(plan, make_context(plan, imported.model, samples, seed=0, threads=1))
    assert [[step.method for step in result.steps] for result in done.results] == [[after["method"]]] * 3
    assert np.isfinite(outputs(done.model, samples.batch(0, 1))).all()
