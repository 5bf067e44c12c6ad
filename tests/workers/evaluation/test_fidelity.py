"""Two small models on the same samples, against figures worked out with NumPy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops
from scipy import special, stats

from workers.annotations import TargetKind
from workers.errors import LabelMismatch, NonFiniteResult
from workers.evaluation.fidelity import summarise
from workers.evaluation.model_comparison import Comparison, compare_models, detect_outputs, find_task
from workers.report.schema import Source

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((8, 5)).astype(np.float32)
OTHER = WEIGHT + 0.3 * RNG.standard_normal((8, 5)).astype(np.float32)


@dataclass
class Vectors:
    """Samples from arrays."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    source: Source = "dataset"

    @property
    def count(self) -> int:
        return len(self.x)

    @property
    def class_names(self) -> tuple[str, ...]:
        return ()

    @property
    def target_kind(self) -> TargetKind | None:
        return None if self.labels is None else TargetKind.CLASS

    def targets_of(self, start: int, stop: int) -> list[Any] | None:
        return None if self.labels is None else list(self.labels[start:stop])

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        return {"x": self.x[start:stop]}


def vectors(n: int, labels: NDArray[np.int64] | None = None, source: Source = "dataset") -> Vectors:
    return Vectors(np.random.default_rng(1).standard_normal((n, 8)).astype(np.float32), labels, source)


def model(weight: NDArray[np.float32], *, head: str = "logits", shape: tuple[int, ...] = (1, 8)) -> ov.Model:
    x = ops.parameter(shape, np.float32, name="x")
    x.output(0).set_names({"x"})
    scores = ops.matmul(x, ops.constant(weight), False, False)
    result = {
        "logits": lambda: scores,
        "softmax": lambda: ops.reshape(ops.softmax(scores, axis=-1), ops.constant([0, 5]), True),
        "sigmoid": lambda: ops.sigmoid(ops.reduce_sum(scores, ops.constant([1]), True)),
        "log": lambda: ops.log(scores),
        "positive": lambda: ops.convert(ops.non_zero(ops.relu(scores), "i64"), "f32"),
        "half": lambda: ops.convert(scores, "f16"),
    }[head]()
    result.output(0).set_names({head})
    return ov.Model([ops.result(result)], [x])


def detector(weight: NDArray[np.float32]) -> ov.Model:
    x = ops.parameter((1, 8), np.float32, name="x")
    x.output(0).set_names({"x"})
    values = ops.matmul(x, ops.constant(np.tile(weight, 4)), False, False)  # (1, 20)
    boxes = ops.reshape(values, ops.constant([0, 5, 4]), True)
    scores = ops.softmax(ops.reshape(values, ops.constant([0, 10, 2]), True), axis=2)
    boxes.output(0).set_names({"boxes"})
    scores.output(0).set_names({"scores"})
    return ov.Model([ops.result(boxes), ops.result(scores)], [x])


def compared(samples: Vectors, original: ov.Model, compressed: ov.Model, batch_size: int = 4) -> Comparison:
    return compare_models(original, compressed, samples, batch_size=batch_size, threads=1)


def test_figures_of_a_classifier_are_those_of_numpy() -> None:
    samples = vectors(50)
    before, after = samples.x @ WEIGHT, samples.x @ OTHER
    fidelity = summarise(compared(samples, model(WEIGHT), model(OTHER)), np.random.default_rng(0))
    divergence = stats.entropy(special.softmax(before, 1), special.softmax(after, 1), axis=1)
    assert fidelity.agreement is not None
    assert fidelity.kl_divergence is not None
    assert fidelity.relative_error is not None
    assert fidelity.outputs[0].sqnr_db is not None
    error = np.sum((before - after) ** 2) / np.sum(before**2)
    assert fidelity.agreement.value == pytest.approx(np.mean(before.argmax(1) == after.argmax(1)))
    assert fidelity.kl_divergence.value == pytest.approx(divergence.mean(), rel=1e-4)
    assert fidelity.relative_error.value == pytest.approx(error, rel=1e-4)
    assert fidelity.outputs[0].sqnr_db.value == pytest.approx(-10 * np.log10(error), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_size_of_a_batch_changes_nothing(batch_size: int) -> None:
    samples = vectors(10)
    rows = compared(samples, model(WEIGHT), model(OTHER), batch_size).outputs[0].rows
    expected = samples.x @ WEIGHT - samples.x @ OTHER
    assert rows["error"] == pytest.approx((expected**2).sum(axis=1), rel=1e-4)


def test_a_model_is_wholly_like_itself() -> None:
    fidelity = summarise(compared(vectors(30), model(WEIGHT), model(WEIGHT)), np.random.default_rng(0))
    assert fidelity.agreement is not None
    assert (fidelity.agreement.value, fidelity.agreement.high) == (1, 1)
    assert fidelity.agreement.low == pytest.approx(stats.binomtest(30, 30).proportion_ci(method="wilson").low)
    assert fidelity.outputs[0].sqnr_db is None


def test_accuracy_and_its_paired_drop() -> None:
    samples = vectors(200)
    samples.labels = (samples.x @ WEIGHT).argmax(axis=1)
    fidelity = summarise(compared(samples, model(WEIGHT), model(OTHER)), np.random.default_rng(0))
    assert fidelity.agreement is not None
    assert fidelity.accuracy_original is not None
    assert fidelity.drop is not None
    assert fidelity.accuracy_original.value == 1
    assert fidelity.accuracy_compressed == fidelity.agreement
    assert fidelity.drop.value == pytest.approx(1 - fidelity.agreement.value)


@pytest.mark.parametrize("labels", [[0, 1, 5], [-1, 0, 0]])
def test_labels_that_no_class_answers_are_refused_before_the_work(labels: list[int]) -> None:
    with pytest.raises(LabelMismatch, match="from 0 to 4"):
        find_task(model(WEIGHT), vectors(3, np.array(labels)), threads=1)


def test_a_probability_answers_labels_zero_and_one() -> None:
    samples = vectors(20)
    samples.labels = ((samples.x @ WEIGHT).sum(axis=1) > 0).astype(np.int64)
    fidelity = summarise(compared(samples, model(WEIGHT, head="sigmoid"), model(OTHER, head="sigmoid")), RNG)
    assert fidelity.accuracy_original is not None
    assert fidelity.accuracy_original.value == 1


def test_the_headline_of_a_detector_is_its_scores() -> None:
    comparison = compared(vectors(6, np.zeros(6, np.int64)), detector(WEIGHT), detector(OTHER))
    assert [output.reading.kind for output in comparison.outputs] == ["values", "class_map"]
    assert summarise(comparison, RNG).headline == "scores"
    assert comparison.outcomes.right_before is None
    assert any("labels are not used" in note for note in comparison.notes)


def test_softmax_is_found_behind_a_reshape() -> None:
    assert detect_outputs(model(WEIGHT, head="softmax"), vectors(2), 1)[0].reading.normalised
    assert not detect_outputs(model(WEIGHT), vectors(2), 1)[0].reading.normalised


def test_half_precision_outputs_are_compared_in_single() -> None:
    samples = Vectors(1e3 * vectors(5).x)  # squares beyond the range of f16
    assert np.isfinite(compared(samples, model(WEIGHT, head="half"), model(OTHER, head="half")).outputs[0].rows["error"]).all()


def test_synthetic_samples_are_said_to_be_synthetic() -> None:
    assert compared(vectors(4, source="fractals"), model(WEIGHT), model(OTHER)).outcomes.synthetic


def test_a_compressed_model_that_returns_nan_is_a_breakdown() -> None:
    broken = WEIGHT.copy()
    broken[0, 0] = np.nan
    with pytest.raises(NonFiniteResult, match="logits"):
        compared(vectors(4), model(WEIGHT), model(broken))


def test_values_that_the_original_does_not_define_are_left_out() -> None:
    comparison = compared(vectors(20), model(WEIGHT, head="log"), model(WEIGHT, head="log"))
    assert comparison.outputs[0].rows["error"].tolist() == [0] * 20
    assert "NaN" in comparison.notes[0]


def test_an_output_whose_size_depends_on_the_data_is_not_compared() -> None:
    comparison = compared(vectors(4), model(WEIGHT, head="positive"), model(-WEIGHT - 1, head="positive"), batch_size=1)
    fidelity = summarise(comparison, RNG)
    assert (fidelity.headline, fidelity.agreement, fidelity.outputs) == (None, None, ())
    assert "depends on the data" in fidelity.notes[0]


def test_a_model_without_a_batch_axis_is_compared_sample_by_sample() -> None:
    class States(Vectors):
        def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
            return {"x": self.x[start]}

    samples = States(np.random.default_rng(0).standard_normal((6, 2, 8)).astype(np.float32))
    comparison = compared(samples, model(WEIGHT, shape=(2, 8)), model(OTHER, shape=(2, 8)), batch_size=1)
    expected = samples.x @ (WEIGHT - OTHER)
    assert comparison.outputs[0].rows["error"] == pytest.approx((expected**2).sum(axis=(1, 2)), rel=1e-4)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    compare_models(
        model(WEIGHT), model(OTHER), vectors(10), batch_size=4, threads=1, progress=lambda *step: told.append(step)
    )  # fmt: skip
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_the_same_seed_gives_the_same_figures() -> None:
    comparison = compared(vectors(20), model(WEIGHT), model(OTHER))
    assert summarise(comparison, np.random.default_rng(3)) == summarise(comparison, np.random.default_rng(3))


def test_an_original_that_names_one_class_for_all_is_told_of() -> None:
    same = Vectors(np.tile(np.random.default_rng(2).standard_normal((1, 8)).astype(np.float32), (6, 1)))
    assert any("one class for all 6 samples" in note for note in compared(same, model(WEIGHT), model(OTHER)).notes)
    assert not compared(vectors(64), model(WEIGHT), model(OTHER)).notes
