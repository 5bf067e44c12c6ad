"""Outputs of every kind are read for what they decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats

from workers.statistics.decisions import Activation, OutputKind, Reading, compare_outputs, probabilities, read

CLASSES = Reading(OutputKind.CLASSES)


def values(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "shape", "activation", "kind", "axis"),
    [
        ("logits", (10,), None, OutputKind.CLASSES, 0),
        ("792", (1000, 1, 1), None, OutputKind.CLASSES, 0),
        ("StatefulPartitionedCall", (10,), "softmax", OutputKind.CLASSES, 0),
        ("scores", (4420, 2), "softmax", OutputKind.CLASS_MAP, 1),
        ("logits", (128, 30522), None, OutputKind.CLASS_MAP, 1),
        ("output", (20, 64, 128), None, OutputKind.CLASS_MAP, 0),
        ("output", (64, 128, 20), None, OutputKind.CLASS_MAP, 2),
        ("output", (1, 1), "sigmoid", OutputKind.PROBABILITY, 0),
        ("obj_8", (1600, 1), "sigmoid", OutputKind.PROBABILITY_MAP, 0),
        ("mask", (1, 64, 64), "sigmoid", OutputKind.PROBABILITY_MAP, 0),
        ("boxes", (4420, 4), None, OutputKind.VALUES, 1),
        ("bbox_reg", (8,), None, OutputKind.VALUES, 0),
        ("795", (2704, 32), None, OutputKind.VALUES, 1),
        ("age", (1,), None, OutputKind.VALUES, 0),
        ("age", (), None, OutputKind.VALUES, 0),
        ("NCHW_output", (1, 64, 64), None, OutputKind.VALUES, 0),
        ("image", (3, 64, 64), None, OutputKind.VALUES, 0),
        ("features", (512, 7, 7), None, OutputKind.VALUES, 0),
    ],
)
def test_kind_of_output(name: str, shape: tuple[int, ...], activation: Activation, kind: OutputKind, axis: int) -> None:
    reading = read(name, values(2, *shape), activation)
    assert reading.kind is kind
    if kind in (OutputKind.CLASSES, OutputKind.CLASS_MAP):
        assert reading.class_axis == axis


def test_integers_are_decisions_but_quantised_scores_are_not() -> None:
    assert read("label", np.zeros((4, 1), np.int64), None).kind is OutputKind.CODES
    assert read("scores", np.zeros((4, 10), np.uint8), "softmax").kind is OutputKind.CLASSES


def test_values_that_sum_to_one_are_probabilities() -> None:
    assert read("target", special.softmax(values(8, 10), axis=1), None).normalised
    assert not read("target", values(8, 10), None).normalised


@given(st.integers(0, 99), st.integers(1, 4), st.integers(2, 9))
def test_divergence_is_that_of_the_softmax(seed: int, positions: int, classes: int) -> None:
    before, after = values(3, positions, classes, seed=seed), values(3, positions, classes, seed=seed + 100)
    expected = stats.entropy(special.softmax(before, axis=2), special.softmax(after, axis=2), axis=2).mean(axis=1)
    assert compare_outputs(Reading(OutputKind.CLASS_MAP, class_axis=1), before, after)["divergence"] == pytest.approx(
        expected, abs=1e-5
    )


def test_probabilities_are_taken_as_they_are() -> None:
    before = special.softmax(values(5, 10), axis=1)
    assert probabilities(Reading(OutputKind.CLASSES, normalised=True), before)[:, 0] == pytest.approx(before, abs=1e-6)


def test_decisions_of_a_classifier() -> None:
    before = np.array([[0, 5, 1], [3, 0, 0]], np.float32)
    rows = compare_outputs(CLASSES, before, np.array([[0, 1, 4], [9, 0, 0]], np.float32))
    assert rows["before"].tolist() == [1, 0]
    assert rows["after"].tolist() == [2, 0]
    assert rows["agreement"].tolist() == [0, 1]
    assert rows["confidence_before"][0] == pytest.approx(special.softmax(before[0]).max())


def test_a_probability_decides_at_one_half() -> None:
    reading = Reading(OutputKind.PROBABILITY, normalised=True)
    rows = compare_outputs(reading, np.array([[0.4], [0.6]], np.float32), np.array([[0.7], [0.9]], np.float32))
    assert rows["before"].tolist() == [0, 1]
    assert rows["agreement"].tolist() == [0, 1]


def test_quantised_probabilities_are_read_like_floating_ones() -> None:
    share = special.softmax(3 * values(20, 10), axis=1)
    codes = np.round(share * 255).astype(np.uint8)
    reading = read("scores", codes, "softmax")
    assert probabilities(reading, codes)[:, 0] == pytest.approx(share, abs=0.02)


def test_a_map_agrees_by_the_share_of_its_positions() -> None:
    before = np.zeros((1, 100, 2), np.float32)
    before[:, :10, 1] = 1  # ten anchors in front of the background
    after = before.copy()
    after[:, 5:10, 1] = -1  # half of them lost
    rows = compare_outputs(Reading(OutputKind.CLASS_MAP, class_axis=1), before, after)
    assert rows["agreement"][0] == pytest.approx(0.95)
    assert rows["foreground"][0] == pytest.approx(0.5)
    assert rows["before"][0] == -1


def test_a_map_of_background_only_has_no_foreground() -> None:
    nothing = np.zeros((1, 100, 1), np.float32)
    assert np.isnan(compare_outputs(Reading(OutputKind.PROBABILITY_MAP, normalised=True), nothing, nothing)["foreground"][0])


def test_values_have_a_cosine_and_an_error_and_no_agreement() -> None:
    before, after = values(4, 7, 3), values(4, 7, 3, seed=1)
    rows = compare_outputs(Reading(OutputKind.VALUES), before, after)
    a, b = before.reshape(4, -1).astype(float), after.reshape(4, -1).astype(float)
    assert rows["error"] == pytest.approx(((a - b) ** 2).sum(axis=1), rel=1e-5)
    assert rows["cosine"] == pytest.approx((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    assert np.isnan(rows["agreement"]).all()


def test_silence_resembles_only_silence() -> None:
    silent, loud = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)
    assert compare_outputs(Reading(OutputKind.VALUES), silent, silent)["cosine"][0] == 1
    assert compare_outputs(Reading(OutputKind.VALUES), silent, loud)["cosine"][0] == 0


def test_codes_agree_where_they_are_equal() -> None:
    rows = compare_outputs(Reading(OutputKind.CODES), np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]))
    assert rows["agreement"].tolist() == [1, 0.5]


@pytest.mark.parametrize("kind", list(OutputKind))
def test_an_output_is_wholly_like_itself(kind: OutputKind) -> None:
    output = np.arange(12).reshape(3, 4) if kind is OutputKind.CODES else np.abs(values(3, 4))
    rows = compare_outputs(Reading(kind), output, output)
    assert rows["error"].tolist() == [0, 0, 0]
    assert rows["cosine"] == pytest.approx(1)
    assert np.nanmax(rows["divergence"], initial=0) == 0
    assert np.nanmin(rows["agreement"], initial=1) == 1
