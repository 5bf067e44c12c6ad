"""Arrays that come for inputs, labels that come for samples, and values that no data give."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.calibration.arrays import image_rows, is_images, length, match_arrays, not_samples, open_arrays, value_rows
from workers.calibration.datasets import Choice
from workers.calibration.labels import assign, check_labels, classes_of
from workers.calibration.preprocessing import image_input
from workers.calibration.synthetic import synthetic
from workers.errors import DataMismatch, LabelMismatch, NonFiniteData, Refusal, UnreadableData, UnsafeArchive
from workers.ir.reading.inputs import Input
from workers.recipe import Preprocessing

RNG = np.random.default_rng(0)
TOKENS = Input("ids", ("alias", "ids"), (1, 4), np.dtype(np.int64), None, 0, (-1, 4), 10)
VALUES = Input("x", ("x",), (1, 2, 3), np.dtype(np.float32), None, 0, (-1, 2, 3), None)
PICTURE = Input("image", ("image",), (1, 3, 8, 10), np.dtype(np.float32), "NCHW", 0, (-1, 3, 8, 10), None)


def every(count: int) -> Any:
    return np.arange(count)


# files


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_arrays_come_back_by_name_and_outlive_their_file(tmp_path: Path) -> None:
    given_arrays = {
        "x": RNG.normal(size=(3, 2)),
        "größe": np.array([[True]]),
        "ids": np.arange(6, dtype=np.uint16).reshape(2, 3),
    }
    found = open_arrays(saved(tmp_path / "a.npz", **given_arrays))
    (tmp_path / "a.npz").unlink()
    assert set(found) == set(given_arrays)
    for name, array in given_arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_arrays_are_called_as_the_inputs_of_tensorflow_are(tmp_path: Path) -> None:
    array = RNG.normal(size=(2, 3))
    assert (open_arrays(saved(tmp_path / "a.npz", **{"serving_default_x:0": array}))["serving_default_x:0"] == array).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_packed_and_fortran_arrays_are_read(tmp_path: Path, compressed: bool) -> None:
    array = np.asfortranarray(RNG.normal(size=(3, 5)))
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", x=array)
    np.testing.assert_array_equal(open_arrays(tmp_path / "a.npz")["x"], array)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (np.array(["text"]), UnreadableData, "holds <U4"),
        (np.array([1j]), UnreadableData, "complex128"),
        (np.float32(3), UnreadableData, r"of shape \(\)"),
        (np.array([1], "datetime64[s]"), UnreadableData, "datetime64"),
        (b"", UnreadableData, "cannot be read"),
        (b"\x93NUMPY\x01\x00", UnreadableData, "cannot be read"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}", UnreadableData, "cannot be read"),
        (
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }",
            UnreadableData,
            "read",
        ),
    ],
)
def test_what_holds_no_numbers_is_refused_by_name(tmp_path: Path, content: Any, kind: type[Refusal], words: str) -> None:
    if isinstance(content, bytes):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("bad.npy", content)
    else:
        saved(tmp_path / "a.npz", bad=content)
    with pytest.raises(kind, match=words) as refused:
        open_arrays(tmp_path / "a.npz")
    assert "bad" in refused.value.message


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive, match="could run code"):
        open_arrays(saved(tmp_path / "a.npz", x=np.array([{}], object)))


# inputs


def test_an_array_belongs_to_the_input_that_is_called_so() -> None:
    arrays = {"alias": np.zeros((2, 4)), "x": np.zeros((2, 2, 3)), "other": np.zeros(2)}
    matched = match_arrays(arrays, (TOKENS, VALUES))
    assert matched["ids"] is arrays["alias"]
    assert matched["x"] is arrays["x"]


def test_x_is_for_the_only_input() -> None:
    arrays = {"x": np.zeros((2, 4))}
    assert match_arrays(arrays, (TOKENS,))["ids"] is arrays["x"]
    with pytest.raises(DataMismatch, match="holds x; arrays are missing for the inputs ids") as refused:
        match_arrays(arrays, (TOKENS, VALUES))
    assert "ids, x" in refused.value.hint
    with pytest.raises(DataMismatch, match="holds nothing"):
        match_arrays({}, (TOKENS,))


def test_all_arrays_have_as_many_samples() -> None:
    assert length({"a": np.zeros((3, 2)), "b": np.zeros(3)}) == 3
    with pytest.raises(DataMismatch, match=r"\(a: 3, b: 4\)"):
        length({"a": np.zeros((3, 2)), "b": np.zeros(4)})
    with pytest.raises(UnreadableData, match="empty"):
        length({"a": np.zeros((0, 2))})


@pytest.mark.parametrize(
    ("shape", "dtype", "entry", "images"),
    [
        ((2, 8, 10, 3), np.uint8, PICTURE, True),
        ((2, 8, 10), np.uint8, PICTURE, True),
        ((2, 3, 8, 10), np.float32, PICTURE, False),
        ((2, 8, 10, 3), np.int64, PICTURE, False),
        ((2, 8), np.uint8, PICTURE, False),
        ((2, 3, 8, 10), np.uint8, replace(PICTURE, dtype=np.dtype(np.uint8)), False),  # the input as it is
        ((2, 8, 10, 3), np.uint8, replace(PICTURE, dtype=np.dtype(np.uint8)), True),
    ],
)
def test_bytes_are_pixels_unless_they_are_the_input(shape: tuple[int, ...], dtype: Any, entry: Input, images: bool) -> None:
    assert is_images(np.zeros(shape, dtype), entry) == images


# values


def test_rows_are_those_that_are_asked_for_in_the_type_of_the_input() -> None:
    array = RNG.normal(size=(5, 2, 3))
    rows = value_rows(array, VALUES, every(5))
    found = rows(np.array([4, 0, 4]))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array[[4, 0, 4]].astype(np.float32))


def test_a_model_of_one_sample_takes_samples_with_and_without_their_axis() -> None:
    whole = replace(VALUES, batch_axis=None)
    for shape in ((5, 1, 2, 3), (5, 2, 3)):
        assert value_rows(np.zeros(shape), whole, every(5))(every(2)).shape == (2, 1, 2, 3)


@pytest.mark.parametrize(
    ("array", "entry", "words"),
    [
        (np.zeros((2, 3, 2)), VALUES, "input 'x' differ in size: 3x2 and 2x3"),
        (np.zeros(2), VALUES, "single values and 2x3"),
        (np.zeros((2, 2, 3), np.complex128), VALUES, "are complex128, and the model takes float32"),
        (np.zeros((2, 4)), TOKENS, "are float64, and the model takes int64"),
        (np.full((2, 4), 10), TOKENS, "hold values from 10 to 10; the model takes 0 to 9"),
        (np.full((2, 4), -1), TOKENS, "from -1 to -1"),
        (np.full((2, 4), 300), replace(TOKENS, dtype=np.dtype(np.uint8), vocabulary=None), "takes 0 to 255"),
        (np.full((2, 4), 2**63, np.uint64), replace(TOKENS, vocabulary=None), f"takes {-(2**63)} to {2**63 - 1}"),
    ],
)
def test_values_that_do_not_fit_are_refused(array: Any, entry: Input, words: str) -> None:
    with pytest.raises(DataMismatch, match=words):
        value_rows(array, entry, every(2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_samples_that_are_taken_must_be_finite(value: float) -> None:
    array = np.zeros((5, 2, 3))
    array[3, 1, 1] = value
    value_rows(array, VALUES, np.array([0, 1, 4]))
    with pytest.raises(NonFiniteData, match="Sample 3 for input 'x'"):
        value_rows(array, VALUES, np.array([1, 3]))


def test_whole_numbers_may_be_of_another_width() -> None:
    assert value_rows(np.array([[1, 2, 3, 9]], np.uint8), TOKENS, every(1))(every(1)).dtype == np.int64


# pixels


def prepared(array: Any, **declared: Any) -> Any:
    preprocessing = Preprocessing(**declared)
    found = image_input(PICTURE, preprocessing)
    assert found is not None
    return image_rows(array, found[0], preprocessing)(every(len(array)))


def test_pixels_of_the_right_size_stay() -> None:
    pixels = RNG.integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    np.testing.assert_array_equal(prepared(pixels), pixels)


def test_pixels_are_scaled_where_that_is_declared() -> None:
    pixels = np.full((2, 16, 20, 3), 7, np.uint8)
    found = prepared(pixels, resize=8)
    assert found.shape == (2, 8, 10, 3)
    assert (found == 7).all()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 8, 10, 1), "channels"),
        ((2, 8, 10), "channels"),
        ((2, 10, 8, 3), "preprocessing.resize"),
        ((2, 3, 8, 10), "image = np.moveaxis(image, 1, -1)"),
    ],
)
def test_pixels_of_another_form_are_refused_with_the_remedy(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(DataMismatch, match="differ in size") as refused:
        prepared(np.zeros(shape, np.uint8))
    assert words in refused.value.hint


def test_values_whose_channels_lie_elsewhere_are_refused_with_the_remedy() -> None:
    planes = Input("in/0", ("in/0",), (1, 3, 8, 10), np.dtype(np.float32), None, 0, (-1, 3, 8, 10), None)
    given = np.zeros((2, 8, 10, 3), np.float32)
    with pytest.raises(DataMismatch, match="8x10x3 and 3x8x10") as refused:
        value_rows(given, planes, every(2))
    assert refused.value.hint == "The axes lie in another order: x = np.moveaxis(x, -1, 1) gives what the model takes."
    assert value_rows(np.moveaxis(given, -1, 1), planes, every(2))(every(2)).shape == (2, 3, 8, 10)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("rows.npy", "np.savez('samples.npz', x=np.load('rows.npy'))"),
        ("rows.CSV", "x=np.loadtxt('rows.CSV', np.float32, delimiter=',')"),
        ("rows.txt", "Give an .npz"),
    ],
)
def test_a_file_that_is_no_dataset_is_refused_with_the_remedy(name: str, remedy: str) -> None:
    error = not_samples(Path("folder") / name)
    assert error.message.startswith(f"'{name}' is no .npz")
    assert remedy in error.hint


# labels


@pytest.mark.parametrize(
    ("shape", "classes"),
    [([1, 10], 10), ([1, 10, 1, 1], 10), ([1, 1, 1, 10], 10), ([1, 2], 2), ([1, 1], None), ([1, 5, 7], None), ([10], None)]
    + [([1, 3, 8, 8], None), ([-1, 10], None)],
)
def test_how_many_classes_a_model_tells_apart(shape: list[int], classes: int | None) -> None:
    parameter = ops.parameter(shape)
    assert classes_of(ov.Model([ops.relu(parameter)], [parameter])) == classes


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.sampled_from([np.int8, np.uint8, np.int32, np.uint64]))
def test_class_indices_become_int64(labels: list[int], kind: Any) -> None:
    found = check_labels(np.array(labels, kind), len(labels), 10)
    assert (found.dtype, found.tolist()) == (np.int64, labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(2, int), r"3 samples, and labels of shape \(2,\)"),
        (np.zeros((3, 2), int), r"of shape \(3, 2\)"),
        (np.zeros(3), "float64, not integers"),
        (np.array([True, False, True]), "bool, not integers"),
        (np.array([0, -1, 2]), "negative value -1"),
        (np.array([0, 5, 2]), "reach 5, and the model tells 5 classes apart"),
        (np.array([0, 1, 2**63], np.uint64), "reach"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, words: str) -> None:
    with pytest.raises(LabelMismatch, match=words):
        check_labels(labels, 3, 5)


def test_labels_are_assigned_by_name_in_their_own_order() -> None:
    names = ["a/1.png", "a/2.png", "b/3.png"]
    assert list(assign(names, {"3.png": 0, "a/1.png": 1, "a\\2.png": 2}).items()) == [
        ("b/3.png", 0),
        ("a/1.png", 1),
        ("a/2.png", 2),
    ]
    assert assign(["back\\slash.png"], {"back\\slash.png": 1}) == {"back\\slash.png": 1}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"1.png": 0}, "are several such image"),
        ({"c/9.png": 0}, "is no such image"),
        ({"a/1.png": 0}, r"no class for 'b/1\.png' \(1 images"),
    ],
)
def test_labels_that_belong_to_no_single_image_are_refused(labels: dict[str, int], words: str) -> None:
    with pytest.raises(LabelMismatch, match=words):
        assign(["a/1.png", "b/1.png"], labels)


# choices


def test_the_first_samples_are_taken_unless_they_are_drawn() -> None:
    assert Choice().among([0, 0, 1]).tolist() == [0, 1, 2]
    assert Choice(2).among([0, 0, 1]).tolist() == [0, 1]
    assert Choice(9).among([0, 0, 1]).tolist() == [0, 1, 2]
    assert Choice(0).among([0, 0, 1]).tolist() == []
    drawn = Choice(4, np.random.default_rng(0)).among([0] * 50 + [1] * 50)
    assert (drawn < 50).sum() == 2


# values of no meaning


@pytest.mark.parametrize("entry", [VALUES, TOKENS, replace(VALUES, batch_axis=None)])
def test_a_synthetic_sample_depends_on_its_number_alone(entry: Input) -> None:
    rows, what = synthetic(entry, 7, 0)
    together = rows(np.array([3, 1, 2]))
    assert together.shape == (3, *entry.item)
    for place, number in enumerate((3, 1, 2)):
        np.testing.assert_array_equal(rows(np.array([number]))[0], together[place])
    assert "0 to 9" in what or what == "standard normal values"
    for other in (synthetic(entry, 8, 0), synthetic(entry, 7, 1)):
        assert (other[0](np.array([3, 1, 2])) != together).any()
