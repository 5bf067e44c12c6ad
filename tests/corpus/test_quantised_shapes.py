"""A quantised model answers a sample alike, whether it comes alone or with others, in a fixed shape or an open one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import openvino.opset13 as ops
import pytest

from tests.corpus.models import Build
from tests.corpus.test_corpus import STEPS, answers
from workers.calibration.samples import Samples
from workers.evaluation.steadiness import doubts
from workers.ir.graph.runtime_faults import vary_biases
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress


def mean_over_tokens() -> onnx.ModelProto:
    """Transformers for images end like this: normalisation, a mean over tokens, a head."""
    b = Build()
    h = b.op("MatMul", b.input("x", ["n", 16, 8]), b.weight(8, 8), name="mix")
    ones, zeros = b.constant(np.ones(8, np.float32)), b.constant(np.zeros(8, np.float32))
    h = b.op("LayerNormalization", h, ones, zeros, axis=-1)
    b.gemm(b.op("ReduceMean", h, axes=[1], keepdims=0), 8, 5, name="head", out="y")
    return b.model({"y": ["n", 5]})


def products_without_biases() -> onnx.ModelProto:
    b = Build()
    h = b.op("MatMul", b.input("x", ["n", 24]), b.weight(24, 24), name="first")
    b.op("MatMul", b.op("MatMul", h, b.weight(24, 32), name="second"), b.weight(32, 6), name="third", out="y")
    return b.model({"y": ["n", 6]})


def mean_over_places() -> onnx.ModelProto:
    """Two axes at once."""
    b = Build()
    h = b.relu(b.conv(b.input("x", ["n", 3, 8, 8]), 3, 8, name="stem"))
    b.gemm(b.op("ReduceMean", h, axes=[2, 3], keepdims=0), 8, 5, name="head", out="y")
    return b.model({"y": ["n", 5]})


@pytest.mark.parametrize("build", [mean_over_tokens, mean_over_places, products_without_biases])
def test_answers_do_not_depend_on_how_samples_are_given(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    onnx.save(build(), tmp_path / "model.onnx")
    recipe = {"steps": [STEPS["int8"]], "calibration": {"count": 16}, "benchmark": None}
    path, out = tmp_path / "model.onnx", tmp_path / "out"
    compress(JobTask(Kind.COMPRESS, str(path), str(out), recipe=recipe, threads=1), Clock(lambda event: None))
    report = json.loads((out / "report.json").read_text())
    assert not [warning for warning in report["warnings"] if "otherwise" in warning]
    source, result = ov.Core().read_model(path), ov.Core().read_model(out / "1/model.xml")
    item = [axis.get_length() for axis in list(source.input(0).get_partial_shape())[1:]]
    values = np.random.default_rng(6).normal(size=(16, *item)).astype(np.float32)
    (expected,) = answers(source, [values])
    for size in (1, 2, 16):
        fixed = result.clone()
        fixed.reshape([size, *item])
        for model in (fixed, result):
            found = np.concatenate([answers(model, [values[n : n + size]])[0] for n in range(0, 16, size)])
            assert np.linalg.norm(found - expected) < 0.3 * np.linalg.norm(expected)


def test_a_bias_of_one_number_differs_by_the_least_afterwards() -> None:
    x, w = ops.parameter([-1, 3], np.float32), ops.constant(np.eye(3, dtype=np.float32))
    biases = [np.zeros((1, 3), np.float32), np.full((1, 3), 2, np.float32), np.array([[1, 2, 3]], np.float32)]
    model = ov.Model([ops.result(ops.add(ops.matmul(x, w, False, False), ops.constant(bias))) for bias in biases], [x], "m")
    vary_biases(model)
    for bias, found in zip(biases, answers(model, [np.zeros((1, 3), np.float32)]), strict=True):
        np.testing.assert_allclose(found, bias, rtol=1e-6, atol=1e-37)
    stored = [result.input_value(0).get_node().input_value(1).get_node().get_data() for result in model.get_results()]
    assert all(len(np.unique(values)) > 1 for values in stored)


@pytest.mark.parametrize(("axis", "expected"), [(1, 0), (0, 2)])
def test_a_model_whose_samples_influence_each_other_is_told_of(axis: int, expected: int) -> None:
    x = ops.parameter([-1, 4], np.float32)
    centred = ops.subtract(x, ops.reduce_mean(x, ops.constant(np.array([axis])), True))
    limits = (ops.constant(np.float32(limit)) for limit in (-4, 4, -4, 4))
    result = ops.result(ops.fake_quantize(centred, *limits, 256))
    x.output(0).set_names({"x"})
    values = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32)
    samples = Samples("dataset", {"x": lambda numbers: values[numbers]}, np.arange(8))
    found = doubts(ov.Model([result], [x], "m"), samples, 8, 1)
    assert len(found) == expected
    assert all("otherwise than one by one" in text for text in found)
