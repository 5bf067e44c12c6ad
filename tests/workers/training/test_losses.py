"""Losses of a student against the formulas of their papers, and against torch's own."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from workers.statistics.decisions import OutputKind, Reading
from workers.training.losses import Loss, class_logits, relative_error

CLASSES = Reading(OutputKind.CLASSES, classes=5)
MAP = Reading(OutputKind.CLASS_MAP)
VALUES = Reading(OutputKind.VALUES)
CODES = Reading(OutputKind.CODES)


def loss(*readings: Reading, samples: int = 4, **others: float) -> Loss:
    settings: dict[str, Any] = {"temperature": 1.0, "feature_weight": 0.0, "label_weight": 0.0} | others
    return Loss(readings, samples, **settings)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), temperature=st.sampled_from([1.0, 2.0, 4.0]))
def test_classes_are_compared_by_their_divergence(seed: int, temperature: float) -> None:
    student, teacher = drawn(4, 5, seed=seed), drawn(4, 5, seed=seed + 1)
    softened = [(value / temperature).log_softmax(1) for value in (student, teacher)]
    expected = F.kl_div(softened[0], softened[1], reduction="batchmean", log_target=True) * temperature**2
    found = loss(CLASSES).outputs([student], [teacher], temperature)
    torch.testing.assert_close(found, expected)


def test_probabilities_are_compared_as_they_are() -> None:
    student, teacher = drawn(4, 5).softmax(1), drawn(4, 5, seed=1).softmax(1)
    normalised = Reading(OutputKind.CLASSES, normalised=True, classes=5)
    plain = loss(CLASSES).outputs([student.log()], [teacher.log()])
    torch.testing.assert_close(loss(normalised).outputs([student], [teacher]), plain)
    zeros = torch.zeros(4, 5, dtype=torch.float64)
    zeros[:, 0] = 1
    assert torch.isfinite(loss(normalised).outputs([zeros], [teacher]))


def test_a_map_is_the_mean_over_its_places() -> None:
    student, teacher = drawn(4, 5, 3, 2), drawn(4, 5, 3, 2, seed=1)
    flat = [value.movedim(1, -1).reshape(-1, 5).log_softmax(1) for value in (student, teacher)]
    torch.testing.assert_close(
        loss(MAP).outputs([student], [teacher]), F.kl_div(flat[0], flat[1], reduction="batchmean", log_target=True)
    )


def test_values_are_compared_by_their_relative_error() -> None:
    student, teacher = drawn(4, 6), drawn(4, 6, seed=1)
    torch.testing.assert_close(loss(VALUES).outputs([student], [teacher]), relative_error(student, teacher))
    assert loss(VALUES).outputs([teacher], [teacher]) == 0
    assert relative_error(teacher.mean() + torch.zeros(4, 6), teacher) == pytest.approx(1)


def test_outputs_add_up_and_codes_say_nothing() -> None:
    classes, values = (drawn(4, 5), drawn(4, 5, seed=1)), (drawn(4, 3, seed=2), drawn(4, 3, seed=3))
    apart = loss(CLASSES).outputs(classes[:1], classes[1:]) + loss(VALUES).outputs(values[:1], values[1:])
    integers = torch.zeros(4, 2, dtype=torch.int64)
    together = loss(CLASSES, CODES, VALUES).outputs([classes[0], integers, values[0]], [classes[1], integers + 1, values[1]])
    torch.testing.assert_close(together, apart)


def test_every_sample_has_its_own_loss() -> None:
    student, teacher = drawn(4, 5), drawn(4, 5, seed=1)
    by_sample = loss(CLASSES).by_sample([student], [teacher])
    assert by_sample.shape == (4,)
    alone = [loss(CLASSES, samples=1).outputs([student[n : n + 1]], [teacher[n : n + 1]]) for n in range(4)]
    torch.testing.assert_close(by_sample, torch.stack(alone))


def test_one_value_for_the_whole_batch_is_every_samples() -> None:
    student, teacher = drawn(3), drawn(3, seed=1)
    found = loss(VALUES, samples=4).by_sample([student], [teacher])
    torch.testing.assert_close(found, relative_error(student, teacher).expand(4))


def test_a_batch_that_flows_into_another_axis_is_taken_apart() -> None:
    """Two samples of three positions each, laid one after another."""
    value = drawn(6, 5)
    apart = class_logits(Reading(OutputKind.CLASS_MAP, class_axis=1), 2, value)
    torch.testing.assert_close(apart, value.reshape(2, 3, 5))
    channels_first = drawn(2, 5, 3)
    torch.testing.assert_close(class_logits(MAP, 2, channels_first), channels_first.movedim(1, -1))


# what is minimised


def test_labels_join_in_by_their_weight() -> None:
    student, teacher, labels = drawn(4, 5), drawn(4, 5, seed=1), torch.tensor([0, 4, 2, 2])
    distilled = loss(CLASSES).outputs([student], [teacher])
    for weight in (0.0, 0.3, 1.0):
        found = loss(CLASSES, label_weight=weight).training(([student], {}), ([teacher], {}), labels)
        torch.testing.assert_close(found, (1 - weight) * distilled + weight * F.cross_entropy(student, labels))
    without = loss(CLASSES, label_weight=0.3).training(([student], {}), ([teacher], {}), None)
    torch.testing.assert_close(without, distilled)


def test_features_join_in_by_the_mean_of_their_errors() -> None:
    student, teacher = [drawn(4, 5)], [drawn(4, 5, seed=1)]
    features = {"a": drawn(4, 3), "b": drawn(4, 2, 2)}, {"a": drawn(4, 3, seed=1), "b": drawn(4, 2, 2, seed=1)}
    apart = [relative_error(features[0][name], features[1][name]) for name in ("a", "b")]
    found = loss(CLASSES, feature_weight=0.5).training((student, features[0]), (teacher, features[1]), None)
    torch.testing.assert_close(found, loss(CLASSES).outputs(student, teacher) + 0.5 * torch.stack(apart).mean())
    torch.testing.assert_close(
        loss(CLASSES, feature_weight=0.5).training((student, {}), (teacher, {}), None), loss(CLASSES).outputs(student, teacher)
    )


@pytest.mark.parametrize("reading", [CLASSES, VALUES])
def test_a_student_like_its_teacher_has_nothing_to_learn(reading: Reading) -> None:
    teacher = drawn(4, 5)
    student = teacher.clone().requires_grad_()
    found = loss(reading, temperature=3.0).training(([student], {}), ([teacher], {}), None)
    assert found.item() == pytest.approx(0, abs=1e-9)
    (slope,) = torch.autograd.grad(found, student)
    torch.testing.assert_close(slope, torch.zeros(4, 5, dtype=torch.float64), atol=1e-9, rtol=0)


def test_sharpness_multiplies_the_scores_of_the_student_alone() -> None:
    student, teacher = drawn(4, 5), drawn(4, 5, seed=1)
    found = loss(CLASSES).by_sample([student], [teacher], sharpness=1.5)
    torch.testing.assert_close(found, loss(CLASSES).by_sample([1.5 * student], [teacher]))
    assert 1.0 in loss(CLASSES, VALUES).sharpness
    assert loss(VALUES).sharpness == (1.0,)
