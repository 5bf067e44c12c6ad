"""Samples from .npz files, folders and zips of images."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from tests.workers.ir import tiny
from workers.calibration import Choice, Samples, from_dataset
from workers.errors import (
    DataMismatch,
    InvalidRecipe,
    LabelMismatch,
    NonFiniteData,
    Refusal,
    UnreadableData,
    UnsafeArchive,
)
from workers.ir.reading.importer import Imported, load
from workers.recipe import Preprocessing

RNG = np.random.default_rng(0)
RAW = Preprocessing(mean_values=(0,), scale_values=(1,))
MEAN, SCALE = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

Build = Callable[..., Imported]


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """A model of 16 x 16 colour images and five classes."""
    return load(tiny.save(tiny.cnn(), tmp_path_factory.mktemp("model") / "cnn.onnx"))


@pytest.fixture
def product(tmp_path: Path) -> Build:
    """Models of one matrix product, with inputs of given shapes and type."""

    def build(*shapes: tuple[int | None, ...], kind: int = TensorProto.FLOAT) -> Imported:
        names = [f"in{index}" for index in range(len(shapes))]
        nodes, outputs = [], []
        for name in names:
            nodes.append(helper.make_node("Cast", [name], [f"{name}/f"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("MatMul", [f"{name}/f", f"{name}/w"], [f"{name}/out"]))
            outputs.append(f"{name}/out")
        weights = {f"{name}/w": tiny.weight(shape[-1] or 1, 3) for name, shape in zip(names, shapes, strict=True)}
        model = tiny.graph(nodes, weights, dict(zip(names, shapes, strict=True)), outputs)
        for value in model.graph.input:
            value.type.tensor_type.elem_type = kind
        return load(tiny.save(model, tmp_path / "product.onnx"))

    return build


def pictures(count: int, height: int = 16, width: int = 16, channels: int = 3) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, (count, height, width, channels), np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, kind, **options)
    return buffer.getvalue()


def npz(tmp_path: Path, **arrays: Any) -> Path:
    np.savez_compressed(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def packed(tmp_path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return tmp_path / "data.zip"


def refuse(kind: type[Refusal], words: str, path: Path, model: Imported, declared: Preprocessing = RAW) -> Refusal:
    with pytest.raises(kind, match=words) as caught:
        from_dataset(path, model, declared)
    return caught.value


def everything(samples: Samples) -> NDArray[Any]:
    (value,) = samples.batch(0, samples.count).values()
    return value


# images in an .npz


def test_images_become_the_input_by_mean_scale_and_layout(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(4)
    samples = from_dataset(npz(tmp_path, x=x), cnn, Preprocessing(mean_values=MEAN, scale_values=SCALE))
    expected = ((x - np.array(MEAN)) / np.array(SCALE)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(everything(samples), expected, rtol=1e-4, atol=1e-5)
    assert everything(samples).dtype == np.float32


def test_bgr_models_get_their_channels_reversed_before_the_mean(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(2)
    declared = Preprocessing(mean_values=(1, 2, 3), scale_values=(1,), color_order="BGR")
    values = everything(from_dataset(npz(tmp_path, x=x), cnn, declared))
    np.testing.assert_array_equal(values[:, 0], x[..., 2] - np.float32(1))


def test_images_are_kept_for_the_contact_sheet(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(3)
    samples = from_dataset(npz(tmp_path, x=x), cnn, Preprocessing(color_order="BGR"))
    np.testing.assert_array_equal(samples.images(1, 3), x[1:])


def test_undeclared_preprocessing_is_that_of_imagenet_and_said_aloud(tmp_path: Path, cnn: Imported) -> None:
    samples = from_dataset(npz(tmp_path, x=pictures(1)), cnn, Preprocessing())
    assert samples.applied["in"]["mean_values"] == MEAN
    assert any("ImageNet" in note for note in samples.notes)


def test_declared_preprocessing_leaves_nothing_to_say(tmp_path: Path, cnn: Imported) -> None:
    assert from_dataset(npz(tmp_path, x=pictures(1)), cnn, RAW).notes == ()


def test_grey_images_may_lack_their_channel(tmp_path: Path, product: Build) -> None:
    model = product((None, 1, 8, 8))
    x = pictures(2, 8, 8, 1)
    values = everything(from_dataset(npz(tmp_path, x=x[..., 0]), model, Preprocessing()))
    np.testing.assert_allclose(values, x.transpose(0, 3, 1, 2) / np.float32(255))


def test_byte_inputs_are_fed_raw(tmp_path: Path, product: Build) -> None:
    x = pictures(2, 8, 8)
    values = everything(from_dataset(npz(tmp_path, x=x), product((None, 3, 8, 8), kind=TensorProto.UINT8), Preprocessing()))
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, x.transpose(0, 3, 1, 2))


def test_mean_for_a_byte_input_is_refused(tmp_path: Path, product: Build) -> None:
    refuse(InvalidRecipe, "takes bytes", npz(tmp_path, x=pictures(1, 8, 8)), product((None, 3, 8, 8), kind=TensorProto.UINT8))


def test_mean_of_another_number_of_channels_is_refused(tmp_path: Path, cnn: Imported) -> None:
    refuse(InvalidRecipe, "2 values.*3 channels", npz(tmp_path, x=pictures(1)), cnn, Preprocessing(mean_values=(1, 2)))


def test_channels_last_models_get_channels_last(tmp_path: Path, product: Build) -> None:
    x = pictures(2, 8, 9)
    np.testing.assert_array_equal(everything(from_dataset(npz(tmp_path, x=x), product((None, 8, 9, 3)), RAW)), x)


@pytest.mark.parametrize("x", [pictures(2, 20, 20), pictures(2, 16, 16, 1)])
def test_images_of_another_form_are_refused_naming_both(tmp_path: Path, cnn: Imported, x: NDArray[np.uint8]) -> None:
    refuse(DataMismatch, f"{'x'.join(map(str, x.shape[1:]))} and 16x16x3", npz(tmp_path, x=x), cnn)


def test_declared_resize_brings_images_to_size(tmp_path: Path, cnn: Imported) -> None:
    declared = Preprocessing(mean_values=(0,), resize=20, crop=16)
    samples = from_dataset(npz(tmp_path, x=pictures(2, 40, 60)), cnn, declared)
    assert everything(samples).shape == (2, 3, 16, 16)
    assert samples.applied["in"]["resize"] == 20


def test_declared_crop_alone_cuts_the_centre(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(2, 20, 24)
    values = everything(from_dataset(npz(tmp_path, x=x), cnn, Preprocessing(mean_values=(0,), crop=16)))
    np.testing.assert_array_equal(values.transpose(0, 2, 3, 1), x[:, 2:18, 4:20])


@pytest.mark.parametrize(("declared", "words"), [({"crop": 12}, "12x12.*16x16"), ({"resize": 12}, "resize is 12.*16x16")])
def test_sizes_that_miss_the_input_are_refused(tmp_path: Path, cnn: Imported, declared: dict[str, int], words: str) -> None:
    refuse(DataMismatch, words, npz(tmp_path, x=pictures(1, 32, 32)), cnn, Preprocessing(**declared))


def test_crop_of_images_that_are_too_small_is_refused(tmp_path: Path, cnn: Imported) -> None:
    samples = from_dataset(npz(tmp_path, x=pictures(1, 12, 40)), cnn, Preprocessing(crop=16))
    with pytest.raises(DataMismatch, match="sample 0 is 12x40.*16x16"):
        everything(samples)


# arrays in the form of the inputs


def test_float_arrays_are_fed_as_they_are(tmp_path: Path, cnn: Imported) -> None:
    x = RNG.normal(size=(3, 3, 16, 16))
    samples = from_dataset(npz(tmp_path, x=x), cnn, Preprocessing())
    np.testing.assert_array_equal(everything(samples), x.astype(np.float32))
    assert samples.images(0, 3) is None


def test_preprocessing_that_is_not_used_is_said_aloud(tmp_path: Path, cnn: Imported) -> None:
    samples = from_dataset(npz(tmp_path, x=np.zeros((1, 3, 16, 16))), cnn, RAW)
    assert any("not used" in note for note in samples.notes)


def test_float_arrays_of_another_form_are_refused(tmp_path: Path, cnn: Imported) -> None:
    refuse(DataMismatch, "16x16x3 and 3x16x16", npz(tmp_path, x=np.zeros((2, 16, 16, 3))), cnn)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_first_sample_that_is_not_finite_is_named(tmp_path: Path, cnn: Imported, value: float) -> None:
    x = np.zeros((5, 3, 16, 16), np.float32)
    x[3, 1, 2, 2] = value
    refuse(NonFiniteData, "Sample 3", npz(tmp_path, x=x), cnn)


def test_inputs_are_fed_by_name(tmp_path: Path, product: Build) -> None:
    model = product((None, 4), (None, 6))
    a, b = RNG.normal(size=(3, 4)).astype(np.float32), RNG.normal(size=(3, 6)).astype(np.float32)
    samples = from_dataset(npz(tmp_path, in0=a, in1=b, y=np.array([0, 1, 2]), more=b), model, Preprocessing())
    batch = samples.batch(1, 3)
    np.testing.assert_array_equal(batch["in0"], a[1:])
    np.testing.assert_array_equal(batch["in1"], b[1:])
    assert any("more belong to no input" in note for note in samples.notes)


def test_missing_inputs_are_named(tmp_path: Path, product: Build) -> None:
    error = refuse(
        DataMismatch, "missing for the inputs in1", npz(tmp_path, in0=np.zeros((2, 4))), product((None, 4), (None, 6))
    )
    assert "in0, in1" in error.hint


def test_arrays_of_different_lengths_are_refused(tmp_path: Path, product: Build) -> None:
    path = npz(tmp_path, in0=np.zeros((2, 4)), in1=np.zeros((3, 6)))
    refuse(DataMismatch, "in0: 2, in1: 3", path, product((None, 4), (None, 6)))


def test_tokens_are_cast_to_the_type_of_the_input(tmp_path: Path, product: Build) -> None:
    model = product((None, 4), kind=TensorProto.INT32)
    values = everything(from_dataset(npz(tmp_path, x=np.full((2, 4), 7, np.int64)), model, Preprocessing()))
    assert (values.dtype, values.min()) == (np.int32, 7)


@pytest.mark.parametrize("value", [-1, 9])
def test_tokens_outside_the_vocabulary_are_refused(tmp_path: Path, value: int) -> None:
    nodes = [helper.make_node("Gather", ["table", "in"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["out"])]
    model = tiny.graph(nodes, {"table": tiny.weight(9, 4), "w": tiny.weight(4, 2)}, {"in": [None, 6]})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    imported = load(tiny.save(model, tmp_path / "tokens.onnx"))
    refuse(DataMismatch, "takes 0 to 8", npz(tmp_path, x=np.full((2, 6), value)), imported)


def test_fractions_for_an_integer_input_are_refused(tmp_path: Path, product: Build) -> None:
    refuse(DataMismatch, "float64.*int32", npz(tmp_path, x=np.zeros((2, 4))), product((None, 4), kind=TensorProto.INT32))


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 4, 5)])
def test_model_without_batches_gets_one_sample_at_a_time(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nodes = [helper.make_node("Reshape", ["in", "flat"], ["rows"]), helper.make_node("MatMul", ["rows", "w"], ["out"])]
    model = tiny.graph(nodes, {"flat": np.array([1, -1, 2]), "w": tiny.weight(2, 3)}, {"in": [1, 4, 5]})
    x = RNG.normal(size=shape).astype(np.float32)
    samples = from_dataset(npz(tmp_path, x=x), load(tiny.save(model, tmp_path / "m.onnx")), Preprocessing())
    np.testing.assert_array_equal(samples.batch(1, 2)["in"], x[1].reshape(1, 4, 5))
    with pytest.raises(ValueError, match="one sample at a time"):
        samples.batch(0, 2)


# bad files


def test_python_objects_are_refused_unopened(tmp_path: Path, cnn: Imported) -> None:
    refuse(UnsafeArchive, "pickled", npz(tmp_path, x=np.array([{}, {}], dtype=object)), cnn)


@pytest.mark.parametrize("x", [np.array(["a", "b"]), np.array([1j]), np.float32(1)])
def test_arrays_of_no_numbers_are_refused(tmp_path: Path, cnn: Imported, x: NDArray[np.generic]) -> None:
    refuse(UnreadableData, "arrays of numbers", npz(tmp_path, x=x), cnn)


def test_empty_arrays_are_refused(tmp_path: Path, cnn: Imported) -> None:
    refuse(UnreadableData, "empty", npz(tmp_path, x=np.zeros((0, 16, 16, 3), np.uint8)), cnn)


@pytest.mark.parametrize("end", [60, 500])
def test_truncated_arrays_are_refused(tmp_path: Path, cnn: Imported, end: int) -> None:
    buffer = io.BytesIO()
    np.save(buffer, pictures(2))
    refuse(UnreadableData, r"'x\.npy' cannot be read", packed(tmp_path, {"x.npy": buffer.getvalue()[:end]}), cnn)


def test_other_files_are_refused(tmp_path: Path, cnn: Imported) -> None:
    (tmp_path / "data.npz").write_bytes(b"not a zip")
    refuse(UnreadableData, r"'data\.npz' is no \.npz", tmp_path / "data.npz", cnn)


# labels


def test_labels_follow_their_samples(tmp_path: Path, cnn: Imported) -> None:
    samples = from_dataset(npz(tmp_path, x=pictures(4), y=np.array([0, 1, 2, 4], np.uint8)), cnn, RAW, Choice(3))
    assert samples.labels is not None
    assert (samples.count, samples.labels.tolist(), samples.labels.dtype) == (3, [0, 1, 2], np.int64)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1]), "3 samples"),
        (np.array([0, -1, 2]), "negative value -1"),
        (np.array([0, 1, 5]), "reach 5.*5 classes"),
        (np.array([0.0, np.nan, 2.0]), "NaN"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, cnn: Imported, labels: NDArray[np.generic], words: str) -> None:
    refuse(LabelMismatch, words, npz(tmp_path, x=pictures(3), y=labels), cnn)


# folders and zips of images


def test_images_of_a_zip_are_scaled_to_cover_and_cut(tmp_path: Path, cnn: Imported) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 200  # the middle third is what remains
    samples = from_dataset(packed(tmp_path, {"a.png": encoded(wide)}), cnn, RAW)
    assert everything(samples)[..., 1:-1].min() == 200
    assert any("scaled to cover 16x16" in note for note in samples.notes)


def test_images_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(3)
    for name, pixels in zip(("b/2.png", "a.png", "b/1.png"), x, strict=True):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(encoded(pixels))
    samples = from_dataset(tmp_path / "images", cnn, RAW)
    np.testing.assert_array_equal(samples.images(0, 3), x[[1, 2, 0]])
    assert samples.labels is None


def test_labels_file_gives_order_and_classes(tmp_path: Path, cnn: Imported) -> None:
    x = pictures(2)
    table = b"filename,class_index,name\r\nimages/b.png,4,bird\r\nimages/a.png,1,ant\r\n"
    files = {"a.png": encoded(x[0]), "b.png": encoded(x[1]), "labels.csv": table, "README.txt": b""}
    samples = from_dataset(packed(tmp_path, files), cnn, RAW)
    assert samples.labels is not None
    assert samples.labels.tolist() == [4, 1]
    np.testing.assert_array_equal(samples.images(0, 2), x[::-1])
    assert any("1 files" in note for note in samples.notes)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"filename,class_index\na.png,0\nb.png,1\nc.png,1\n", r"'c\.png', and there is no such image"),
        (b"filename,class_index\na.png,0\n", r"no class for 'b\.png'"),
        (b"filename,class_index\na.png,0\nb.png,cat\n", "not a table"),
        (b"name,label\na.png,0\nb.png,1\n", "not a table"),
        (b"filename,class_index\na.png,0\nb.png,9\n", "5 classes"),
        (b"filename,class_index\na.png,0\nb.png,1\na.png,1\n", "twice"),
        (b"\xff\xfe\0broken", "not a table"),
    ],
)
def test_labels_file_that_does_not_fit_is_refused(tmp_path: Path, cnn: Imported, table: bytes, words: str) -> None:
    files = {"a.png": encoded(pictures(1)[0]), "b.png": encoded(pictures(1)[0]), "labels.csv": table}
    refuse(LabelMismatch, words, packed(tmp_path, files), cnn)


def test_rotation_in_the_metadata_is_applied(tmp_path: Path, cnn: Imported) -> None:
    pixels = pictures(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    samples = from_dataset(packed(tmp_path, {"a.png": encoded(pixels, exif=exif)}), cnn, RAW)
    np.testing.assert_array_equal(samples.images(0, 1)[0], np.rot90(pixels, -1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_images_of_every_mode_become_colour(tmp_path: Path, cnn: Imported, mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pictures(1)[0]).convert(mode).save(buffer, "TIFF")
    assert everything(from_dataset(packed(tmp_path, {"a.tif": buffer.getvalue()}), cnn, RAW)).shape == (1, 3, 16, 16)


def deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not an image", "cannot be decoded"),
        (encoded(pictures(1, 64, 64)[0], "JPEG")[:300], "cannot be decoded"),
        (encoded(pictures(1, 64, 64)[0])[:300], "cannot be decoded"),
        (deep(), "more than 8 bits"),
        (bomb(), "9000x9000 pixels"),
    ],
)
def test_undecodable_images_are_named(tmp_path: Path, cnn: Imported, content: bytes, words: str) -> None:
    files = {"a.png": encoded(pictures(1)[0]), "bad/b.png": content}
    refuse(UnreadableData, f"'bad/b.png'.*{words}", packed(tmp_path, files), cnn)


def test_picture_that_would_grow_beyond_measure_is_refused(tmp_path: Path, cnn: Imported) -> None:
    line = encoded(np.zeros((1, 60_000, 3), np.uint8))
    refuse(DataMismatch, "too narrow", packed(tmp_path, {"a.png": line}), cnn, Preprocessing(resize=2000))


def test_zip_without_images_says_what_it_holds(tmp_path: Path, cnn: Imported) -> None:
    refuse(UnreadableData, r"no picture in it: 2 files \(\.csv, \.txt\)", packed(tmp_path, {"a.txt": b"", "b.csv": b""}), cnn)
    refuse(UnreadableData, r"'note\.txt' is no picture", packed(tmp_path, {"note.txt": b""}), cnn)


def test_paths_that_leave_the_zip_are_refused(tmp_path: Path, cnn: Imported) -> None:
    refuse(UnsafeArchive, "outside the archive", packed(tmp_path, {"../a.png": encoded(pictures(1)[0])}), cnn)


def test_images_for_a_model_of_two_inputs_are_refused(tmp_path: Path, product: Build) -> None:
    path = packed(tmp_path, {"a.png": encoded(pictures(1)[0])})
    refuse(DataMismatch, "not one image", path, product((None, 3, 8, 8), (None, 3, 8, 8)))


def test_images_for_a_model_of_numbers_are_refused(tmp_path: Path, product: Build) -> None:
    refuse(DataMismatch, "not one image", packed(tmp_path, {"a.png": encoded(pictures(1)[0])}), product((None, 4)))
