"""Pictures: decoded, placed, cut and prepared, against Pillow and NumPy done by hand."""

import io
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workers.calibration.image_decoding import (
    BORDER,
    MAX_PIXELS,
    cut_out,
    decode,
    decode_mask,
    fit,
    picture_size,
    place_picture,
)
from workers.calibration.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_SCALE,
    ImageInput,
    alternatives,
    image_input,
    spelt,
    unused,
)
from workers.errors import DataMismatch, InvalidRecipe, UnreadableData
from workers.ir.reading.inputs import Input
from workers.recipe import Preprocessing

RNG = np.random.default_rng(0)


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return file


def noise(*shape: int) -> Any:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def declared(**values: Any) -> Preprocessing:
    return Preprocessing(**values)


# decoding


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_any_mode_becomes_channels_of_eight_bits(mode: str, channels: int) -> None:
    picture = Image.fromarray(noise(5, 7, 3)).convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    assert np.asarray(decode(saved(picture, form), "a", channels)).reshape(5, 7, -1).shape == (5, 7, channels)


def test_a_transparent_palette_keeps_its_transparency() -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    decoded = decode(saved(picture, transparency=0), "a", 4)
    assert decoded.getpixel((0, 0)) == (255, 0, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_and_their_size_tells_so(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(Image.fromarray(noise(4, 9, 3)), exif=exif)
    upright = decode(file, "a", 3)
    assert upright.size == ((4, 9) if orientation >= 5 else (9, 4))
    file.seek(0)
    assert picture_size(file, "a") == upright.size


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_more_than_eight_bits_are_refused_by_name(mode: str) -> None:
    file = saved(Image.new(mode, (4, 4)), "TIFF")
    for read in (
        lambda: decode(file, "deep.tif", 1),
        lambda: picture_size(file, "deep.tif"),
        lambda: decode_mask(file, "deep.tif"),
    ):
        file.seek(0)
        with pytest.raises(UnreadableData, match=r"'deep\.tif' has more than 8 bits"):
            read()


def test_a_picture_of_very_many_pixels_is_refused_by_its_head() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = bytearray(saved(Image.new("L", (8, 8)), "PPM").getvalue().replace(b"8 8", f"{side} {side}".encode()))
    for read in (decode, lambda file, name, _: picture_size(file, name)):
        with pytest.raises(UnreadableData, match=f"{side}x{side}"):
            read(io.BytesIO(header), "huge.pgm", 1)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40), b"BM" + bytes(60), b"text"])
def test_damage_is_told_by_name(content: bytes) -> None:
    for read in (lambda file: decode(file, "bad.png", 3), lambda file: picture_size(file, "bad.png")):
        with pytest.raises(UnreadableData, match=r"'bad\.png' cannot be decoded"):
            read(io.BytesIO(content))
    with pytest.raises(UnreadableData, match=r"mask 'bad\.png' cannot be read"):
        decode_mask(io.BytesIO(content), "bad.png")


@settings(max_examples=30)
@given(st.binary(max_size=80), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]), st.integers(0, 200))
def test_any_damage_is_refused_or_decoded(junk: bytes, form: str, at: int) -> None:
    content = saved(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)), form).getvalue()
    damaged = content[:at] + junk + content[at + len(junk) :]
    with suppress(UnreadableData):
        assert decode(io.BytesIO(damaged), "a", 3).mode == "RGB"


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_mask_is_read_by_its_indices(mode: str) -> None:
    classes = RNG.integers(0, 5, (6, 4), dtype=np.uint8)
    picture = Image.fromarray(classes)
    if mode == "P":
        picture.putpalette([255 - n for n in range(15)])
    np.testing.assert_array_equal(decode_mask(saved(picture), "m"), classes)


def test_a_mask_of_yes_and_no_counts_one_and_a_picture_is_none() -> None:
    yes = np.array([[True, False]])
    np.testing.assert_array_equal(decode_mask(saved(Image.fromarray(yes)), "m"), [[1, 0]])
    with pytest.raises(UnreadableData, match="its pixels are RGB, not class indices"):
        decode_mask(saved(Image.fromarray(noise(3, 3, 3))), "m")


# placing


@pytest.mark.parametrize(
    ("size", "how", "scaled", "left", "top"),
    [
        ((40, 20), {}, (40, 20), 10, 0),  # covers 20 x 20 from the centre
        ((20, 40), {}, (20, 40), 0, 10),
        ((40, 20), {"fit": "stretch"}, (20, 20), 0, 0),
        ((40, 20), {"fit": "letterbox"}, (20, 10), 0, -5),
        ((80, 40), {"resize": 20}, (40, 20), 10, 0),
        ((80, 40), {"crop": 20}, (80, 40), 30, 10),
        ((80, 40), {"resize": 30, "crop": 20}, (60, 30), 20, 5),
        ((10, 10), {}, (20, 20), 0, 0),  # enlarged
        ((1, 1), {"fit": "letterbox"}, (20, 20), 0, 0),
    ],
)
def test_where_a_picture_comes_to_lie(size: tuple[int, int], how: Any, scaled: tuple[int, int], left: int, top: int) -> None:
    place = place_picture(size, "a", 20, 20, declared(**how))
    assert (place.size, place.left, place.top) == (scaled, left, top)
    assert place.scale == (scaled[0] / size[0], scaled[1] / size[1])


@settings(max_examples=30)
@given(
    width=st.integers(1, 500),
    height=st.integers(1, 500),
    frame=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    how=st.sampled_from(["cover", "stretch", "letterbox"]),
)
def test_a_picture_fills_its_frame_or_lies_within(width: int, height: int, frame: tuple[int, int], how: Any) -> None:
    place = place_picture((width, height), "a", frame[0], frame[1], declared(fit=how))
    if how == "letterbox":
        assert place.size[0] <= frame[1]
        assert place.size[1] <= frame[0]
        assert place.size[0] == frame[1] or place.size[1] == frame[0]
    else:
        assert place.size[0] >= frame[1]
        assert place.size[1] >= frame[0]
        assert place.left >= 0
        assert place.top >= 0
    corner = np.array([[0, 0, width, height]], np.float32)
    left, top, right, bottom = place.corners(corner)[0]
    assert (right - left, bottom - top) == pytest.approx(place.size, abs=1e-3)
    cut = cut_out(Image.new("L", (width, height), 7), place, frame[0], frame[1], Image.Resampling.NEAREST, BORDER)
    assert cut.size == (frame[1], frame[0])


@pytest.mark.parametrize(
    ("size", "how", "words"),
    [
        ((10, 10), {"crop": 20}, "is 10x10 after scaling, and the model's input is 20x20"),
        ((100, 10), {"resize": 15}, "is 15x150 after scaling"),
        ((1, 200_000), {}, "too narrow"),
        ((1, 100_000), {"resize": 8192}, "too narrow"),
    ],
)
def test_pictures_that_cannot_be_placed_are_named(size: tuple[int, int], how: Any, words: str) -> None:
    with pytest.raises(DataMismatch, match=words):
        place_picture(size, "The image 'a'", 20, 20, declared(**how))


def test_what_a_letterbox_leaves_free_is_grey() -> None:
    found = fit(Image.new("RGB", (40, 20), (1, 2, 3)), "a", 20, 20, declared(fit="letterbox"))
    assert (found[:5] == BORDER).all()
    assert (found[15:] == BORDER).all()
    assert (found[5:15] == [1, 2, 3]).all()


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    pixels = noise(20, 20, 3)
    np.testing.assert_array_equal(fit(Image.fromarray(pixels), "a", 20, 20, declared()), pixels)
    grey = noise(20, 20)
    np.testing.assert_array_equal(fit(Image.fromarray(grey), "a", 20, 20, declared()), grey[..., None])


# preparing

ENTRY = Input("x", ("x",), (1, 3, 8, 10), np.dtype(np.float32), "NCHW", 0, (-1, 3, 8, 10), None)


def image(entry: Input = ENTRY, **values: Any) -> ImageInput:
    found = image_input(entry, declared(**values))
    assert found is not None
    return found[0]


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_pixels_become_the_input(order: Any, layout: Any, kind: Any) -> None:
    shape = (1, 3, 8, 10) if layout == "NCHW" else (1, 8, 10, 3)
    entry = replace(ENTRY, shape=shape, layout=layout, dtype=np.dtype(kind))
    made = image(entry, mean_values=(10, 20, 30), scale_values=(2, 4, 8), color_order=order)
    pixels = noise(2, 8, 10, 3)
    expected = (pixels[..., ::-1] if order == "BGR" else pixels).astype(float)
    expected = (expected - [10, 20, 30]) / [2, 4, 8]
    found = made.prepare(pixels)
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected, rtol=2e-3)


def test_bytes_stay_bytes() -> None:
    made = image(replace(ENTRY, dtype=np.dtype(np.uint8)))
    pixels = noise(2, 8, 10, 3)
    np.testing.assert_array_equal(made.prepare(pixels), pixels.transpose(0, 3, 1, 2))
    with pytest.raises(InvalidRecipe, match="takes bytes"):
        image(replace(ENTRY, dtype=np.dtype(np.uint8)), scale_values=(255,))


def test_one_value_is_for_all_channels_and_another_number_is_refused() -> None:
    made = image(mean_values=(5,))
    assert (made.mean_values, made.scale_values) == ((5, 5, 5), (1, 1, 1))
    with pytest.raises(InvalidRecipe, match="mean_values has 2 values, and the model's images have 3 channels"):
        image(mean_values=(1, 2))


@pytest.mark.parametrize(
    ("channels", "order", "mean", "scale"),
    [
        (3, "RGB", IMAGENET_MEAN, IMAGENET_SCALE),
        (3, "BGR", IMAGENET_MEAN[::-1], IMAGENET_SCALE[::-1]),
        (1, "RGB", (0.0,), (255.0,)),
        (4, "RGB", (0.0,) * 4, (255.0,) * 4),
    ],
)
def test_what_is_assumed_is_said(channels: int, order: Any, mean: Any, scale: Any) -> None:
    found = image_input(replace(ENTRY, shape=(1, channels, 8, 10)), declared(color_order=order))
    assert found is not None
    made, notes = found
    assert (made.mean_values, made.scale_values) == (mean, scale)
    assert len(notes) == 1
    assert "'x'" in notes[0]


@pytest.mark.parametrize(
    "entry",
    [
        replace(ENTRY, layout=None),
        replace(ENTRY, shape=(1, 3, 8)),
        replace(ENTRY, shape=(2, 3, 8, 10)),
        replace(ENTRY, dtype=np.dtype(np.int64)),
    ],
)
def test_other_inputs_take_no_images(entry: Input) -> None:
    assert image_input(entry, declared()) is None


def test_a_declared_layout_makes_an_image_of_what_looks_like_none() -> None:
    assert image(replace(ENTRY, shape=(1, 16, 8, 10), layout=None), layout="NCHW").channels == 16


@pytest.mark.parametrize(
    ("values", "words"),
    [({"crop": 8}, "crop is 8x8, and input 'x' is 8x10"), ({"resize": 7}, "resize is 7, and the shorter side")],
)
def test_sizes_that_do_not_fit_the_input_are_refused(values: Any, words: str) -> None:
    with pytest.raises(DataMismatch, match=words):
        image(**values)


def test_alternatives_are_what_models_are_commonly_fed_with_and_never_the_same() -> None:
    assumed = image()
    others = alternatives(assumed)
    assert set(others) == {"raw 0..255", "0..1", "-1..1", "BGR in place of RGB"}
    assert all(other != assumed for other in others.values())
    pixels = np.full((1, 8, 10, 3), 255, np.uint8)
    assert [float(others[what].prepare(pixels).max()) for what in ("raw 0..255", "0..1", "-1..1")] == [255, 1, 1]
    divided = alternatives(image(scale_values=(255,)))
    assert "0..1" not in divided
    assert "ImageNet's mean and standard deviation" in divided
    assert set(alternatives(image(replace(ENTRY, dtype=np.dtype(np.uint8))))) == {"BGR in place of RGB"}
    assert set(alternatives(image(replace(ENTRY, shape=(1, 1, 8, 10))))) == {"raw 0..255", "-1..1"}
    assert spelt("BGR in place of RGB") == "preprocessing.color_order=BGR"
    for what, other in {**others, **divided}.items():
        knobs = dict(text.removeprefix("preprocessing.").split("=") for text in spelt(what).split(" and "))
        assert "color_order" in knobs or image(**{name: json.loads(value) for name, value in knobs.items()}) == other


def test_preprocessing_that_no_image_sees_is_told() -> None:
    assert unused(declared(), any_images=False) == ()
    assert unused(declared(crop=8), any_images=True) == ()
    assert len(unused(declared(crop=8), any_images=False)) == 1
