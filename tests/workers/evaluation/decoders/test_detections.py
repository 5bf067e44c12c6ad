"""Boxes: what is kept of them, in which order, and how far two of them cover each other."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.evaluation.decoders.detections import (
    CANDIDATES,
    LEAST_SCORE,
    MOST,
    Detections,
    Frame,
    from_centres,
    ordered,
    overlaps,
    select,
    sigmoid,
    suppress,
)
from workers.evaluation.decoders.grids import STRIDES, cells, columns_and_rows, stride_of, strides_of

SIDES = st.integers(0, 12)
CORNERS = st.tuples(SIDES, SIDES, st.integers(0, 8), st.integers(0, 8)).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


def pixels(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(CORNERS, CORNERS)
def test_overlap_counts_pixels(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> None:
    found = overlaps(np.array([first], float), np.array([second], float))[0, 0]
    either = pixels(first) | pixels(second)
    assert found == pytest.approx(len(pixels(first) & pixels(second)) / len(either) if either else 0)


@given(st.lists(CORNERS, min_size=1, max_size=5), st.lists(CORNERS, min_size=1, max_size=5))
def test_overlaps_are_those_of_every_pair(first: list[Any], second: list[Any]) -> None:
    table = overlaps(np.array(first, float), np.array(second, float))
    assert table.shape == (len(first), len(second))
    np.testing.assert_allclose(table, overlaps(np.array(second, float), np.array(first, float)).T)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1),
        ([0, 0, 2, 2], [2, 0, 4, 2], 0),  # they touch
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
        ([2, 2, 0, 0], [0, 0, 2, 2], 0),  # turned inside out: no area
        ([1, 1, 1, 1], [1, 1, 1, 1], 0),
        ([-4, -4, 0, 0], [-2, -2, 2, 2], 4 / 28),
    ],
)
def test_overlap_of(box: list[float], other: list[float], expected: float) -> None:
    assert overlaps(np.array([box], float), np.array([other], float))[0, 0] == pytest.approx(expected)


def test_nothing_overlaps_nothing() -> None:
    assert overlaps(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)
    assert suppress(Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)), 0.5).size == 0


def detections(boxes: list[list[float]], labels: list[int]) -> Detections:
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    return Detections(np.array(boxes, np.float32), scores, np.array(labels))


def test_classes_do_not_suppress_each_other() -> None:
    box = [0.0, 0, 10, 10]
    assert suppress(detections([box, box, box], [0, 1, 0]), 0.5).tolist() == [0, 1]


def test_classes_far_beyond_the_picture_do_not_meet() -> None:
    """A box of the class before, moved by a class, must not lie on one that reaches over the left edge."""
    assert suppress(detections([[90, 90, 100, 100], [-100, -100, -90, -90]], [0, 1]), 0.0).tolist() == [0, 1]


def test_a_suppressed_box_suppresses_nothing() -> None:
    chain = [[0.0, 0, 10, 10], [4.0, 0, 14, 10], [8.0, 0, 18, 10]]  # each covers the next by 3/7, and not the one after
    assert suppress(detections(chain, [0, 0, 0]), 0.4).tolist() == [0, 2]


def test_many_classes_stay_as_exact_as_few() -> None:
    boxes = [[1000.0, 1000, 1100, 1100], [1000.0, 1000, 1100, 1061]]  # IoU 0.61
    for label in (0, 79, 9999):
        assert suppress(detections(boxes, [label, label]), 0.6).tolist() == [0]
        assert suppress(detections(boxes, [label, label]), 0.62).tolist() == [0, 1]


@given(st.lists(st.tuples(CORNERS, st.floats(0, 1, width=32), st.integers(0, 2)), max_size=12))
def test_detections_are_ordered_and_above_the_least_score(rows: list[Any]) -> None:
    found = ordered(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([r[2] for r in rows]))
    assert len(found.corners) == len(found.labels) == len(found.scores) == sum(r[1] > LEAST_SCORE for r in rows)
    assert all(first >= second for first, second in pairwise(found.scores.tolist()))
    given_rows = sorted((*map(float, r[0]), r[1], r[2]) for r in rows if r[1] > LEAST_SCORE)
    kept = zip(found.corners.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    assert sorted((*corners, score, label) for corners, score, label in kept) == given_rows


def test_scores_that_are_no_numbers_find_nothing() -> None:
    assert len(ordered(np.zeros((2, 4)), np.array([np.nan, 0.9]), np.array([0, 1])).scores) == 1
    assert len(select(np.zeros((2, 4)), np.array([[np.nan, 0.0], [np.nan, np.nan]])).scores) == 0


def test_a_box_may_be_of_several_classes() -> None:
    found = select(np.array([[0, 0, 4, 4]]), np.array([[0.9, 0.01, 0.3]]))
    assert (found.labels.tolist(), found.corners.tolist()) == ([0, 2], [[0, 0, 4, 4]] * 2)


def test_no_more_than_a_hundred_are_kept_and_they_are_the_surest() -> None:
    count = MOST + 50
    corners = np.arange(count)[:, None] * 10 + np.array([[0, 0, 5, 5]])
    scores = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, count))
    found = select(corners, scores[:, None])
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1][:MOST], rtol=1e-6)


def test_of_very_many_the_candidates_are_the_surest() -> None:
    scores = np.full((2 * CANDIDATES, 1), 0.1)
    scores[-1] = 0.99
    corners = np.tile(np.array([[0, 0, 5, 5]]), (2 * CANDIDATES, 1))
    assert select(corners, scores).scores.tolist() == pytest.approx([0.99])


def test_above_is_inclusive() -> None:
    found = detections([[0, 0, 1, 1]] * 3, [0, 1, 2]).above(0.75)
    assert found.labels.tolist() == [0, 1]


def test_centres_and_corners() -> None:
    assert from_centres(np.array([[5.0, 6, 4, 2, 99]])).tolist() == [[3, 5, 7, 7]]


@pytest.mark.parametrize(("logit", "expected"), [(0.0, 0.5), (-800.0, 0.0), (800.0, 1.0), (2.0, 0.8807970779778823)])
def test_logits_become_probabilities(logit: float, expected: float) -> None:
    assert sigmoid(np.array([logit, -1.0]))[0] == pytest.approx(expected, abs=1e-12)


def test_probabilities_stay_as_they_are() -> None:
    values = np.array([0.0, 0.25, 1.0])
    np.testing.assert_array_equal(sigmoid(values), values)
    assert sigmoid(np.zeros((0, 3))).shape == (0, 3)


# grids


@given(height=st.integers(1, 300), width=st.integers(1, 300), stride=st.sampled_from(STRIDES))
def test_cells_cover_the_picture_and_no_more(height: int, width: int, stride: int) -> None:
    places = columns_and_rows(Frame(height, width), stride)
    assert len(places) == cells(Frame(height, width), stride)
    columns, rows = places.max(axis=0)
    assert columns * stride < width <= (columns + 1) * stride
    assert rows * stride < height <= (rows + 1) * stride


def test_cells_run_row_by_row() -> None:
    assert columns_and_rows(Frame(16, 24), 8).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("count", "per_cell", "strides"),
    [
        (80 * 80 + 40 * 40 + 20 * 20, 1, (8, 16, 32)),
        (3 * (80 * 80 + 40 * 40 + 20 * 20), 3, (8, 16, 32)),
        (80 * 80 + 40 * 40 + 20 * 20 + 10 * 10, 1, (8, 16, 32, 64)),
        (160 * 160 + 80 * 80 + 40 * 40 + 20 * 20, 1, (4, 8, 16, 32)),
        (40 * 40 + 20 * 20, 1, (16, 32)),
        (8401, 1, None),
        (0, 1, None),
    ],
)
def test_the_strides_of_a_picture_of_640(count: int, per_cell: int, strides: tuple[int, ...] | None) -> None:
    assert strides_of(Frame(640, 640), count, per_cell) == strides


def test_the_stride_of_one_head() -> None:
    assert [stride_of(Frame(320, 416), n) for n in (40 * 52, 20 * 26, 10 * 13, 7)] == [8, 16, 32, None]


@settings(max_examples=20)
@given(count=st.integers(0, 400), classes=st.integers(1, 3), most=st.integers(1, 150), seed=st.integers(0, 99))
def test_suppression_in_blocks_is_that_box_by_box(count: int, classes: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, size = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 40, (count, 2))
    corners = np.concatenate([low, low + size], axis=1).astype(np.float32)
    found = Detections(corners, np.sort(rng.random(count).astype(np.float32))[::-1], rng.integers(0, classes, count))
    wide, expected = corners.astype(float), list[int]()
    for index in range(count):
        same = [other for other in expected if found.labels[other] == found.labels[index]]
        if (overlaps(wide[np.array(same, int)], wide[index : index + 1]) <= 0.5).all():
            expected.append(index)
    assert suppress(found, 0.5, most).tolist() == expected[:most]
