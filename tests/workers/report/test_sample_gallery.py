"""The samples that tell most come first."""

from io import BytesIO

import numpy as np
from PIL import Image

from workers.report.sample_gallery import encode_png, telling_pictures, telling_samples
from workers.statistics.decisions import UNDEFINED


def rows(before: list[int], after: list[int], confidence: list[float]) -> np.ndarray:
    made = np.full(len(before), UNDEFINED)
    made["before"], made["after"] = before, after
    made["confidence_before"], made["confidence_after"] = confidence, 0.5
    return made


def test_changed_decisions_come_first_the_surest_before_the_others() -> None:
    chosen = telling_samples(rows([1, 2, 3, 4], [1, 0, 3, 0], [0.9, 0.6, 0.8, 0.7]), 3)
    assert chosen.tolist() == [3, 1, 0]


def test_unchanged_decisions_keep_a_third_of_the_places() -> None:
    changed = telling_samples(rows([1] * 20 + [2] * 20, [0] * 20 + [2] * 20, [0.5] * 40), 12)
    assert np.count_nonzero(changed >= 20) == 4


def test_all_places_are_used_where_all_decisions_changed() -> None:
    assert len(telling_samples(rows([1] * 20, [0] * 20, [0.5] * 20), 12)) == 12


def test_maps_and_other_data_have_no_pictures() -> None:
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    assert telling_pictures(rows([-1], [-1], [0.5]), None, lambda start, stop: pixels) == ()
    assert telling_pictures(rows([1], [1], [0.5]), None, lambda start, stop: None) == ()


def test_a_picture_carries_both_answers_and_the_label() -> None:
    pixels = np.full((1, 8, 8, 3), 7, np.uint8)
    (picture,) = telling_pictures(rows([4], [5], [0.9]), np.array([4]), lambda start, stop: pixels)
    assert (picture.original, picture.compressed, picture.label) == (4, 5, 4)
    assert np.array_equal(np.asarray(Image.open(BytesIO(picture.png))), pixels[0])


def test_large_pictures_are_made_small_and_gray_ones_stay_gray() -> None:
    assert max(Image.open(BytesIO(encode_png(np.zeros((300, 600, 3), np.uint8)))).size) == 224
    assert Image.open(BytesIO(encode_png(np.zeros((8, 8, 1), np.uint8)))).mode == "L"
