"""Integers of int8 chosen against the outputs of layers, beside those that NNCF rounds to."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from onnx import helper

from tests.workers.ir.tiny import cnn, graph, save
from tests.workers.passes.compressing import SAMPLES, Job

RECONSTRUCTION = {"method": "int8", "rounding": "reconstruction"}
PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.5, "allocation": "uniform"}
SENTENCE = re.compile(r"int8: (NNCF's|Chosen ones) are kept\. .* is ([\d.e-]+) by rounding to the nearest, ([\d.e-]+) by ")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(batch=1), tmp_path_factory.mktemp("model") / "cnn.onnx")


def uneven(*shape: int) -> NDArray[np.float32]:
    """Weights, one of each row much larger than the others."""
    values = np.random.default_rng(shape[0]).normal(0, 0.1, shape).astype(np.float32)  # the same in any order of tests
    values[:, 0, 0, 0] *= 30
    return values


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers whose steps are wide for most weights, so that it matters how these are rounded."""
    node = helper.make_node
    nodes = [
        node("Conv", ["in", "w1"], ["c1"], name="first"),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], name="second"),
        node("Relu", ["c2"], ["r2"]),
        node("Conv", ["r2", "w3"], ["out"], name="third"),
    ]
    weights = {"w1": uneven(32, 3, 3, 3), "w2": uneven(32, 32, 3, 3), "w3": uneven(4, 32, 3, 3)}
    return save(graph(nodes, weights, {"in": [1, 3, 16, 16]}), tmp_path_factory.mktemp("model") / "wide.onnx")


@pytest.fixture(scope="module")
def nearest(wide: Path) -> Job:
    return Job(wide, [{"method": "int8"}])


@pytest.fixture(scope="module")
def chosen(wide: Path) -> Job:
    return Job(wide, [RECONSTRUCTION])


def test_the_report_tells_which_rounding_is_kept_and_what_samples_that_chose_nothing_say(nearest: Job, chosen: Job) -> None:
    (note,) = chosen.compressed.notes
    found = SENTENCE.match(note)
    assert found is not None
    outputs, expected = (chosen.outputs(model)[SAMPLES // 2 :] for model in (nearest.compressed.model, chosen.original))
    error = float(np.square(outputs - expected).sum() / np.square(expected).sum())
    assert float(found[2]) == pytest.approx(error, rel=0.01), "the first half of the samples chose, the second tells"
    kept = nearest if found[1] == "NNCF's" else chosen
    outputs = kept.outputs(kept.compressed.model)[SAMPLES // 2 :]
    best = float(np.square(outputs - expected).sum() / np.square(expected).sum())
    assert best == pytest.approx(min(float(found[2]), float(found[3])), rel=0.01)
    assert nearest.compressed.notes == ()


def test_only_integers_and_biases_differ_from_nncf(nearest: Job, chosen: Job) -> None:
    pairs = list(zip(*(job.compressed.model.get_ordered_ops() for job in (nearest, chosen)), strict=True))
    changed = set[str]()
    for first, second in pairs:
        assert first.get_type_name() == second.get_type_name()
        if first.get_type_name() == "Constant":
            before, after = first.get_data(), second.get_data()
            assert (before.dtype, before.shape) == (after.dtype, after.shape)
            if not np.array_equal(before, after):
                changed.add("integers" if before.dtype == np.int8 else "floats")
                assert before.dtype != np.int8 or np.abs(after).max() <= np.abs(before).max()
                assert before.dtype != np.int8 or np.abs(after.astype(int) - before).max() <= 3
    assert changed == {"integers", "floats"}, "the chosen integers of this network are better, and are kept"


def test_zeros_of_pruning_survive(network: Path) -> None:
    pruned, joined = Job(network, [PRUNING]), Job(network, [PRUNING, RECONSTRUCTION])
    for name, result in joined.results.items():
        assert not result.weight[pruned.results[name].weight == 0].any()


def test_the_levels_of_a_method_stay(network: Path) -> None:
    steps: list[Any] = [{"method": "uniform", "bits": 3, "allocation": "uniform"}]
    plain, job = Job(network, [*steps, {"method": "int8"}]), Job(network, [*steps, RECONSTRUCTION])
    assert job.compressed.notes == ("int8: NNCF's integers are kept, for there is no layer whose weights it has only rounded.",)
    for name, result in job.results.items():
        np.testing.assert_array_equal(result.weight, plain.results[name].weight)


def test_nncf_is_kept_where_it_is_nearer_to_the_original(network: Path) -> None:
    plain, job = Job(network, [{"method": "int8"}]), Job(network, [RECONSTRUCTION])
    found = SENTENCE.match(job.compressed.notes[0])
    assert found is not None
    kept, left = (found[2], found[3]) if found[1] == "NNCF's" else (found[3], found[2])
    assert float(kept) <= float(left), "three digits are told, and may be equal where the errors are not"
    same = all(np.array_equal(result.weight, plain.results[name].weight) for name, result in job.results.items())
    assert same is (found[1] == "NNCF's")


def test_smoothed_weights_are_rounded_anew_as_well(network: Path) -> None:
    job = Job(network, [RECONSTRUCTION | {"model_type": "transformer"}])
    assert SENTENCE.match(job.compressed.notes[0])
    assert isinstance(job.compressed.model, ov.Model)
