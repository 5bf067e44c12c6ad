"""Every metric against its library, or a case worked out by hand; every task met by itself and missed by a destroyed model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from workers.evaluation.tasks.classification import Classification, area_under_curve, f1_scores
from workers.evaluation.tasks.embedding import Embedding, spearman
from workers.evaluation.tasks.image import Image, psnr, ssim, value_range
from workers.evaluation.tasks.multilabel import Multilabel
from workers.evaluation.tasks.other import Other
from workers.evaluation.tasks.regression import Regression, r_squared
from workers.evaluation.tasks.segmentation import Segmentation
from workers.evaluation.tasks.task import Task
from workers.evaluation.tasks.text_lines import TextLines, collapse
from workers.recipe import Constraint
from workers.statistics.constraint import Outcomes, verify_constraint
from workers.statistics.decisions import OutputKind, Reading

RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(0, 4, (3, 60)).astype(float)


def scores(task: Task, before: Any, after: Any, targets: Any = None) -> dict[tuple[str, str], tuple[float, float]]:
    """Every measure on all samples, by name and reference."""
    rows = task.compare([np.asarray(before)], [np.asarray(after)], targets)
    ones = np.ones((1, len(rows)))
    return {(m.name, m.reference): tuple(m.scores(ones)[0].tolist()) for m in task.measures(rows)}


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_f1_is_that_of_scikit_learn(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth, decided = rng.integers(0, classes, 60), rng.integers(0, classes, 60)
    expected = metrics.f1_score(truth, decided, average="macro")
    assert f1_scores(truth, decided, classes, np.ones((1, 60)))[0] == pytest.approx(expected)


@given(seed=st.integers(0, 2**32 - 1), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_area_under_the_curve_is_that_of_scikit_learn(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    yes, said = rng.random(60) < 0.4, rng.random(60)
    said = np.round(said, 1) if ties else said
    found = area_under_curve(yes, said, WEIGHTS)
    for row, weight in zip(found, WEIGHTS, strict=True):
        assert row == pytest.approx(metrics.roc_auc_score(yes, said, sample_weight=weight))


def test_regression_is_that_of_scikit_learn() -> None:
    truth, said = RNG.normal(1000, 2, (60, 3)), RNG.normal(1000, 2, (60, 3))
    for row, weight in zip(r_squared(truth, said, WEIGHTS), WEIGHTS, strict=True):
        assert row == pytest.approx(metrics.r2_score(truth, said, sample_weight=weight))
    found = scores(Regression(0), said, truth, list(truth))
    assert found["rmse", "labels"] == pytest.approx((metrics.mean_squared_error(truth, said) ** 0.5, 0))
    assert found["mae", "labels"] == pytest.approx((metrics.mean_absolute_error(truth, said), 0))


def test_top_5_counts_the_label_among_the_five_best() -> None:
    logits, labels = RNG.normal(size=(80, 20)), RNG.integers(0, 20, 80)
    task = Classification(0, Reading(OutputKind.CLASSES, False, 0, 20))
    found = scores(task, logits, logits, list(labels))
    assert found["top5", "labels"][0] == pytest.approx(metrics.top_k_accuracy_score(labels, logits, k=5, labels=range(20)))
    assert found["top1", "labels"][0] == pytest.approx(np.mean(logits.argmax(1) == labels))


def test_several_labels_have_the_micro_f1_of_scikit_learn() -> None:
    said, truth = RNG.random((50, 6)), RNG.random((50, 6)) < 0.3
    found = scores(Multilabel(0), said, said, list(truth))
    assert found["f1", "labels"][0] == pytest.approx(metrics.f1_score(truth, said >= 0.5, average="micro"))
    assert found["auc", "labels"][0] == pytest.approx(metrics.roc_auc_score(truth, said))


def test_mean_intersection_over_union_is_the_mean_jaccard_index() -> None:
    logits, truth = RNG.normal(size=(4, 3, 8, 8)), RNG.integers(0, 3, (4, 8, 8))
    found = scores(Segmentation(0, 0, 3), logits, logits, list(truth))
    expected = metrics.jaccard_score(truth.ravel(), logits.argmax(1).ravel(), average="macro")
    assert found["mIoU", "labels"][0] == pytest.approx(expected)


def test_pixels_without_a_label_do_not_count() -> None:
    logits = np.zeros((1, 2, 2, 2))
    logits[0, 1] = [[1, -1], [-1, 1]]
    truth = np.array([[1, 0], [255, 255]])
    assert scores(Segmentation(0, 0, 2), logits, logits, [truth])["mIoU", "labels"][0] == 1


def test_ssim_by_hand_and_psnr_by_hand() -> None:
    first = RNG.random((7, 7, 1))
    second = np.clip(first + 0.1 * RNG.normal(size=first.shape), 0, 1)
    a, b = first.ravel(), second.ravel()  # one window covers it all
    mean = 2 * a.mean() * b.mean() + 1e-4
    expected = mean * (2 * np.cov(a, b)[0, 1] + 9e-4)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var(ddof=1) + b.var(ddof=1) + 9e-4)
    assert ssim(first, second) == pytest.approx(expected)
    assert psnr(np.zeros((2, 2, 1)), np.full((2, 2, 1), 0.1)) == pytest.approx(20)


def test_rank_correlation_is_that_of_scipy() -> None:
    first, second = RNG.random(30), RNG.integers(0, 5, 30).astype(float)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)


def test_a_path_stands_for_its_characters_without_repetitions_and_blanks() -> None:
    assert collapse(np.array([0, 3, 3, 0, 3, 5, 5, 0]), 0) == [3, 3, 5]


def test_character_errors_by_hand() -> None:
    def path(*classes: int) -> Any:
        return np.eye(6)[list(classes)]

    before, after = [path(1, 0, 2, 3), path(4, 4, 0, 4)], [path(1, 0, 2, 2), path(4, 4, 4, 4)]
    found = scores(TextLines(0), np.stack(before), np.stack(after), [np.array([1, 2, 5]), np.array([4, 4])])
    assert found["cer", "labels"] == pytest.approx((1 / 5, 2 / 5))
    assert found["cer", "original"] == pytest.approx((0, 2 / 5))


N = 100
SEGMENTATION = Segmentation(0, 0, 3)
MAP = Reading(OutputKind.CLASS_MAP, True, 1)


def a_map_of_background() -> Any:
    """(n, anchors, classes): one anchor in fifty is no background."""
    made = np.zeros((N, 50, 3))
    made[:, :, 0] = 0.9
    made[np.arange(N), RNG.integers(0, 50, N), 1] = 5
    return made / made.sum(axis=2, keepdims=True)


CASES: dict[str, tuple[Task, Callable[[], Any], Callable[[Any], Any]]] = {
    "classification": (
        Classification(0, Reading(OutputKind.CLASSES, False, 0, 8)),
        lambda: RNG.normal(size=(N, 8)),
        lambda before: np.zeros_like(before),
    ),
    "multilabel": (Multilabel(0), lambda: RNG.random((N, 6)), lambda before: np.zeros_like(before)),
    "segmentation": (SEGMENTATION, lambda: RNG.normal(size=(N, 3, 8, 8)), lambda before: np.zeros_like(before)),
    "regression": (Regression(0), lambda: RNG.normal(size=(N, 1)), lambda before: np.zeros_like(before)),
    "embedding": (Embedding(0), lambda: RNG.normal(size=(N, 16)), lambda before: np.ones_like(before)),
    "image": (Image(0, True, 0.0, 1.0), lambda: RNG.random((N, 1, 12, 12)), lambda before: np.full_like(before, 0.5)),
    "image, not of pixels": (
        Image(0, True, *value_range(np.array([-2.0, 2.6]))),
        lambda: RNG.uniform(-2, 2.6, (N, 1, 12, 12)),
        lambda before: np.zeros_like(before),
    ),
    "text_lines": (TextLines(0), lambda: RNG.random((N, 9, 12)), lambda before: np.eye(12)[np.zeros((N, 9), int)]),
    "other, a map": (Other(0, MAP), a_map_of_background, lambda before: np.broadcast_to([1.0, 0, 0], before.shape)),
    "other, values": (
        Other(0, Reading(OutputKind.VALUES)),
        lambda: RNG.normal(size=(N, 5)),
        lambda before: np.zeros_like(before),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_is_met_by_itself_and_missed_when_destroyed(case: str) -> None:
    task, make, destroy = CASES[case]
    original = make()

    def met(after: Any, limit: float) -> Any:
        measures = task.measures(task.compare([original], [after], None))
        resampled = tuple(measure.resampled(np.random.default_rng(0)) for measure in measures)
        return verify_constraint(Constraint(metric="agreement", max_drop=limit), Outcomes(False, measures=resampled)).met

    assert met(original, 0.05) is True
    assert met(destroy(original), 0.5) is False
