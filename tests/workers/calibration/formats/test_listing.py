"""Files of a dataset: which of them belongs to which picture, and what their text is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.calibration.formats.listings import listing
from workers.calibration.formats.listing import (
    LARGEST,
    MAX_TEXT_BYTES,
    FileListing,
    RawBoxes,
    class_list,
    coordinate,
    labels_beside,
    stem,
)
from workers.errors import LabelMismatch

SPLITS = ("train", "val", "test")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/{}/1.jpg", "labels/{}/1.txt"),  # Ultralytics
        ("{}/images/1.jpg", "{}/labels/1.txt"),  # Roboflow
        ("{}/JPEGImages/1.jpg", "{}/Annotations/1.xml"),  # Pascal VOC
        ("{}/1.jpg", "{}/1.txt"),  # side by side
        ("Images/{}/1.JPG", "labels/{}/1.txt"),
    ],
)
def test_a_picture_has_the_label_of_its_own_split(images: str, labels: str) -> None:
    pictures, files = ([form.format(split) for split in SPLITS] for form in (images, labels))
    expected = dict(zip(pictures, files, strict=True))
    assert labels_beside(pictures, files) == expected
    assert labels_beside(pictures, files[::-1]) == expected


def test_a_picture_without_a_label_does_not_take_that_of_another_split() -> None:
    """An image of background has no file of labels; it must not be given the objects of its namesake."""
    assert labels_beside(["images/train/1.jpg", "images/val/1.jpg"], ["labels/train/1.txt"]) == {
        "images/train/1.jpg": "labels/train/1.txt"
    }


def test_several_pictures_may_share_a_label_that_is_nobodys_own() -> None:
    found = labels_beside(["noisy15/a.png", "noisy50/a.png", "noisy50/b.png"], ["clean/a.png"], frozenset({"clean"}))
    assert found == {"noisy15/a.png": "clean/a.png", "noisy50/a.png": "clean/a.png"}


def test_the_first_of_several_labels_is_taken() -> None:
    assert labels_beside(["a.png"], ["x/a.txt", "y/a.txt"]) == {"a.png": "x/a.txt"}


@pytest.mark.parametrize(
    ("images", "labels"), [([], ["a.txt"]), (["a.png"], []), (["a.png"], ["b.txt"]), (["a.png"], ["A.txt"])]
)
def test_nothing_is_labelled_by_what_is_called_otherwise(images: list[str], labels: list[str]) -> None:
    assert labels_beside(images, labels) == {}


PATHS = st.lists(st.text("abx", min_size=1, max_size=2), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, unique=True), st.lists(PATHS, unique=True))
def test_a_label_has_the_name_of_its_picture_and_pictures_keep_their_order(images: list[str], labels: list[str]) -> None:
    found = labels_beside([f"{name}.png" for name in images], [f"{name}.txt" for name in labels])
    assert list(found) == [name for name in (f"{name}.png" for name in images) if name in found]
    for image, label in found.items():
        assert stem(image) == stem(label)
        if f"{image.removesuffix('.png')}.txt" in (f"{name}.txt" for name in labels):
            assert label == f"{image.removesuffix('.png')}.txt"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("images/train/0001.jpg", "0001"),
        ("a.b.c.png", "a.b.c"),
        ("plain", "plain"),
        ("ß/日本.jpeg", "日本"),
        (".hidden", ".hidden"),
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected


@pytest.mark.parametrize("value", [0, -3, 0.5, "1e3", "  7 ", LARGEST, -LARGEST])
def test_coordinates_are_numbers(value: float | str) -> None:
    assert coordinate(value) == float(value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", math.nan, LARGEST + 1, "1e300", "", "four"])
def test_what_no_picture_has_is_no_coordinate(value: float | str) -> None:
    with pytest.raises(ValueError, match="coordinate|could not convert"):
        coordinate(value)


def test_text_is_read_whatever_its_encoding() -> None:
    files = listing({"bom": b"\xef\xbb\xbfcat", "latin": "café".encode("latin-1"), "utf": "日本"})
    assert [files.text(name) for name in ("bom", "latin", "utf")] == ["cat", "caf\N{REPLACEMENT CHARACTER}", "日本"]


def test_enormous_text_is_refused_before_it_is_read() -> None:
    def read(name: str) -> bytes:
        raise AssertionError(f"{name} was read")

    files = FileListing((), frozenset(), {"huge.json": MAX_TEXT_BYTES + 1}, read)
    with pytest.raises(LabelMismatch, match=str(MAX_TEXT_BYTES)):
        files.text("huge.json")


def test_of_several_files_the_one_that_lies_highest_is_meant() -> None:
    files = listing({"deep/er/classes.txt": "wrong", "sub/classes.txt": "right", "myclasses.txt": "wrong"})
    assert files.named("classes.txt") == "sub/classes.txt"
    assert files.named("labels.csv") is None


def test_suffixes_are_compared_without_regard_to_case_and_sorted() -> None:
    assert listing({"b.XML": "", "a.xml": "", "c.xmlx": "", "xml": ""}).ending(".xml") == ["a.xml", "b.XML"]


def test_class_names_are_the_lines_that_are_not_empty() -> None:
    assert class_list(listing({"classes.txt": "\n cat \r\ndog, hot\n\n"})) == ("cat", "dog, hot")
    assert class_list(listing({})) == ()


def test_boxes_of_no_object_have_the_shape_of_boxes() -> None:
    none = RawBoxes.of([])
    assert (none.corners.shape, none.labels.shape, none.crowd.shape) == ((0, 4), (0,), (0,))
    assert (none.corners.dtype, none.labels.dtype, none.crowd.dtype) == (np.float32, np.int64, np.bool_)
