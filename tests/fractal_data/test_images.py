from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fractal_data import FractalRecipe, contact_sheet, fractal_image, fractal_images
from fractal_data.ifs import CONTRACTION, chaos_game, sample_code, sigma_factor


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 7), start=st.integers(0, 5))
def test_an_image_depends_on_its_number_and_seed_alone(batch: int, start: int) -> None:
    images = np.concatenate(list(fractal_images(6, 16, 3, start=start, batch=batch)))
    assert images.shape == (6, 16, 16, 3)
    for number, image in enumerate(images, start):
        np.testing.assert_array_equal(image, fractal_image(number, 16, 3))


def test_processes_change_nothing() -> None:
    alone, together = (list(fractal_images(5, 16, 1, batch=2, processes=processes)) for processes in (1, 2))
    assert [len(images) for images in together] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(together))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(8, 80), width=st.integers(8, 80), channels=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_small_images_of_any_shape(height: int, width: int, channels: int, seed: int) -> None:
    image = fractal_image(0, (height, width), seed, channels)
    assert image.shape == (height, width, channels)
    assert image.dtype == np.uint8
    assert image.std() > 0


def test_batches_are_drawn_as_they_are_asked_for() -> None:
    assert next(fractal_images(10**9, 8, 0, batch=2)).shape == (2, 8, 8, 3)


@pytest.mark.parametrize("size", [(8, 1024), (1024, 8)])
def test_the_longest_and_the_shortest_side_together(size: tuple[int, int]) -> None:
    assert fractal_image(0, size, 0).shape == (*size, 3)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [8, 33, (17, 40), (300, 200)])
def test_any_size_and_number_of_channels(size: int | tuple[int, int], channels: int) -> None:
    image = fractal_image(0, size, 0, channels)
    assert image.shape == ((size, size) if isinstance(size, int) else size) + (channels,)
    assert image.dtype == np.uint8


def test_images_are_varied_and_have_natural_statistics() -> None:
    images = np.concatenate(list(fractal_images(64, 32, 0))) / 255
    assert images.std(axis=(1, 2, 3)).min() > 0.02
    assert images.mean() == pytest.approx(0.45, abs=0.08)
    assert images.std() == pytest.approx(0.25, abs=0.08)
    assert len({image.tobytes() for image in images}) == 64


def test_seeds_differ() -> None:
    assert (fractal_image(0, 16, 0) != fractal_image(0, 16, 1)).any()


@pytest.mark.parametrize(
    ("count", "size", "channels", "start"), [(-1, 16, 3, 0), (1, 7, 3, 0), (1, 1025, 3, 0), (1, 16, 0, 0), (1, 16, 3, -1)]
)
def test_what_cannot_be_drawn_is_refused(count: int, size: int, channels: int, start: int) -> None:
    with pytest.raises(ValueError, match="not|must"):
        next(fractal_images(count, size, 0, channels=channels, start=start))


@pytest.mark.parametrize(
    "change",
    [
        {"fractals": (0, 0)},
        {"maps": (2, 2)},
        {"copies": (4.0, 5.0)},
        {"smallest": 4.0},
        {"largest": 0.5},
        {"solidity": 0.0},
        {"spectrum": (0.0, 0.1)},
        {"correlation": 0.1},
        {"saturation": 3.0},
        {"contrast": (0.01, 0.02)},
        {"brightness": 0.8},
        {"cast": 0.5},
        {"resolution": 16},
    ],
)
def test_every_knob_changes_the_images(change: dict[str, Any]) -> None:
    plain = np.stack([fractal_image(number, 32, 0) for number in range(4)])
    changed = np.stack([fractal_image(number, 32, 0, recipe=FractalRecipe(**change)) for number in range(4)])
    assert (plain != changed).any()


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_maps_contract_and_keep_the_sigma_factor(seed: int, maps: int) -> None:
    code = sample_code(np.random.default_rng(seed), maps)
    assert np.linalg.svd(code[:, :, :2], compute_uv=False).max() <= CONTRACTION + 1e-9
    assert (5 + maps) / 2 - 1e-9 <= sigma_factor(code) <= (6 + maps) / 2 + 1e-9


def test_the_attractor_of_the_sierpinski_code_is_the_sierpinski_triangle() -> None:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    code = np.concatenate([np.tile(np.eye(2) / 2, (3, 1, 1)), corners[:, :, None] / 2], axis=2)
    x, y = chaos_game(np.random.default_rng(0), code, 512, 32)[:, 512 * 16 :]
    digits = [(np.floor(x * 2**k).astype(int) & 1) & (np.floor(y * 2**k).astype(int) & 1) for k in (1, 2, 3, 4)]
    inside = (x < 1) & (y < 1)
    assert not any(digit[inside].any() for digit in digits)


def test_a_contact_sheet_shows_every_image() -> None:
    images = np.concatenate(list(fractal_images(10, 64, 0)))
    sheet = np.asarray(contact_sheet(images, 4))
    assert sheet.shape == (3 * 66 - 2, 4 * 66 - 2, 3)
    np.testing.assert_array_equal(sheet[66:130, 66:130], images[5])
